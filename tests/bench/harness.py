"""The harness of all benchmarks: servers in processes of their own, load from h2load, sides in turn, medians.

Machines are shared and noisy, so nothing is judged by one absolute time: both sides of a comparison alternate, medians
are compared, and the server's CPU time per call decides ratios.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
TICKS = 100
"""Clock ticks per second in /proc (USER_HZ, fixed on Linux)."""

console = Console(highlight=False)


class BenchError(Exception):
    """A measurement that cannot be trusted, or cannot be made."""


@dataclass(slots=True)
class Side:
    """One side of a comparison: a server, and what is sent to it.

    Attributes:
        name: For people.
        command: Starts the server; ``{port}`` is replaced. It prints the number of OK answers when it ends.
        path: The method, ``/package.Service/Method``.
        body: The serialised request.
        headers: What every call carries.
        environment: What the server gets beside ours.
        rates: Calls per second of each round.
        cpu: Server CPU µs per call of each round.
    """

    name: str
    command: Sequence[str]
    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median of calls per second."""
        return statistics.median(self.rates)

    @property
    def cpu_us(self) -> float:
        """The median of server CPU µs per call."""
        return statistics.median(self.cpu)


def measure(sides: Sequence[Side], *, calls: int = 20_000, rounds: int = 5, clients: int = 8, streams: int = 4) -> None:
    """Measures all sides in turn, ``rounds`` times, after one warm-up each.

    Args:
        sides: What to measure; results are added to them.
        calls: How many calls a round makes.
        rounds: At least five.
        clients: Connections.
        streams: Concurrent calls on each.

    Raises:
        BenchError: If a call failed, or a server counted other calls than were sent.
    """
    if shutil.which("h2load") is None:
        raise BenchError("h2load is missing; on Debian: apt-get install nghttp2-client")
    with tempfile.TemporaryDirectory() as folder:
        servers = [_Server(side, Path(folder) / str(number)) for number, side in enumerate(sides)]
        try:
            for server in servers:
                server.start()
            for server in servers:
                server.load(calls // 10, clients, streams)
            for _ in range(rounds):
                for server in servers:
                    rate, cpu = server.load(calls, clients, streams)
                    server.side.rates.append(rate)
                    server.side.cpu.append(cpu)
        finally:
            for server in servers:
                server.stop()
        for server in servers:
            server.check()


class _Server:
    def __init__(self, side: Side, prefix: Path) -> None:
        self.side = side
        self._prefix = prefix
        self._sent = 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])

    def start(self) -> None:
        command = [part.replace("{port}", str(self._port)) for part in self.side.command]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT / 'libs'}:{ROOT}", **self.side.environment}
        self._output = self._prefix.with_suffix(".out").open("w+")
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True
        )
        ends = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError as error:
                if time.monotonic() > ends or self._process.poll() is not None:
                    raise BenchError(f"{self.side.name} does not listen: {self._text()}") from error
                time.sleep(0.05)

    def load(self, calls: int, clients: int, streams: int) -> tuple[float, float]:
        body = self._prefix.with_suffix(".body")
        body.write_bytes(b"\0" + len(self.side.body).to_bytes(4, "big") + self.side.body)
        headers = {"content-type": "application/grpc", "te": "trailers", **self.side.headers}
        command = ["h2load", f"-n{calls}", f"-c{clients}", f"-m{streams}", f"-d{body}"]
        command += [f"-H{key}: {value}" for key, value in headers.items()]
        before = self._cpu()
        answer = subprocess.run(
            [*command, f"http://127.0.0.1:{self._port}{self.side.path}"], capture_output=True, text=True, timeout=300
        ).stdout
        used = self._cpu() - before
        rate = re.search(r"finished in .*?, ([\d.]+) req/s", answer)
        done = re.search(r"(\d+) succeeded", answer)
        if rate is None or done is None or int(done[1]) != calls:
            raise BenchError(f"{self.side.name}: not all of {calls} calls succeeded:\n{answer}")
        self._sent += calls
        return float(rate[1]), used / calls * 1e6

    def stop(self) -> None:
        if hasattr(self, "_process") and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)

    def check(self) -> None:
        counted = re.findall(r"^OK answers: (\d+)$", self._text(), re.MULTILINE)
        if counted != [str(self._sent)]:
            raise BenchError(f"{self.side.name}: sent {self._sent} calls, the server counted {counted}")

    def _text(self) -> str:
        self._output.flush()
        return Path(self._output.name).read_text()

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report.

    Attributes:
        name: What was measured.
        value: The figure.
        target: What it must reach; None if it is shown only.
        reference: What it was compared with, for people.
        unit: Of value and target.
        at_most: Whether the target is the most that it may be, as for times.
    """

    name: str
    value: float
    target: float | None
    reference: str
    unit: str = ""
    at_most: bool = False

    @property
    def passed(self) -> bool:
        """Whether it is reached."""
        if self.target is None:
            return True
        return self.value <= self.target if self.at_most else self.value >= self.target


def report(title: str, sides: Sequence[Side], lines: Sequence[Line]) -> int:
    """Prints what was measured, and returns the exit code: 1 if a line falls short."""
    measured = Table("side", "calls/s", "server CPU µs per call", title=title, title_justify="left")
    for side in sides:
        measured.add_row(side.name, f"{side.rate:,.0f}", f"{side.cpu_us:,.0f}")
    if sides:
        console.print(measured)
    judged = Table("figure", "measured", "target", "reference", "")
    for line in lines:
        judged.add_row(
            line.name,
            f"{line.value:,.2f}{line.unit}",
            "" if line.target is None else f"{line.target:,.2f}{line.unit}",
            line.reference,
            "" if line.target is None else "[green]ok" if line.passed else "[red]short",
        )
    console.print(judged)
    return 0 if all(line.passed for line in lines) else 1


@contextmanager
def told() -> Iterator[None]:
    """Turns a :class:`BenchError` into one line and exit code 1."""
    try:
        yield
    except BenchError as error:
        console.print(f"[red]{error}")
        sys.exit(1)
