from __future__ import annotations

import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sutler.errors import FailedPrecondition
from sutler.logfile import LogFile
from sutler.logs import configure_logging
from sutler.settings import ServerSettings
from sutler.testing import wait_blocking


def test_lines_come_soon_and_in_order(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    for number in range(1000):
        log.write(f"{number}\n".encode())
    log.flush()
    wait_blocking(lambda: (tmp_path / "log").read_text().count("\n") == 1000)
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(1000)]


def test_later_lines_come_too(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    for number in range(3):
        log.write(b"x\n")
        wait_blocking(lambda n=number: (tmp_path / "log").read_text() == "x\n" * (n + 1))  # type: ignore[misc]


def test_appends_to_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("old\n")
    log = LogFile(tmp_path / "log")
    log.write(b"new\n")
    log.write_out()
    assert (tmp_path / "log").read_text() == "old\nnew\n"


def test_threads_lose_and_mix_nothing(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")

    def write(name: int) -> None:
        for number in range(2000):
            log.write(f"{name}-{number}\n".encode())
            if number % 500 == 0:
                log.write_out()

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.write_out()
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 16_000
    for name in range(8):
        own = [line for line in lines if line.startswith(f"{name}-")]
        assert own == [f"{name}-{number}" for number in range(2000)]


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "raise ValueError"])
def test_nothing_is_lost_when_the_process_ends(tmp_path: Path, end: str) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(Path(sys.modules["sutler"].__path__[0]).parent)!r})
from pathlib import Path
from sutler.logfile import LogFile
log = LogFile(Path({str(tmp_path / "log")!r}))
for number in range(5000):
    log.write(f"{{number}}\\n".encode())
{end}
"""
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(5000)]


class Disk:
    """A file on a disk that is full at times, and takes some bytes at a time."""

    def __init__(self) -> None:
        self.full = True
        self.kept = b""

    def write(self, data: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "no space")
        self.kept += data[:7]
        return len(data[:7])

    def fileno(self) -> int:
        raise OSError(errno.EBADF, "not a real file")


def test_a_full_disk_loses_nothing_and_ends_nothing(tmp_path: Path) -> None:
    log, disk = LogFile(tmp_path / "log"), Disk()
    log._file = disk  # type: ignore[assignment]
    log.write(b"first line\n")
    log.write_out()
    log.write(b"second line\n")
    log.write_out()
    disk.full = False
    wait_blocking(lambda: disk.kept == b"first line\nsecond line\n")


def test_memory_is_bounded_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sutler.logfile.MAX_LINES", 10)
    log, disk = LogFile(tmp_path / "log"), Disk()
    log._file = disk  # type: ignore[assignment]
    for number in range(100):
        log.write(f"{number}\n".encode())
        log.write_out()
    disk.full = False
    log.write_out()
    assert disk.kept.split() == [b"0", *(str(number).encode() for number in range(90, 100))]


def test_a_full_file_is_kept_once_and_a_new_one_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sutler.logfile.MAX_BYTES", 10)
    path = tmp_path / "log"
    logs = [LogFile(path), LogFile(path)]
    for line, log in zip([b"one one one\n", b"two\n", b"three three\n", b"four\n"], [*logs, *logs], strict=True):
        log.write(line)
        log.write_out()
    logs[1].write(b"five\n")
    logs[1].write_out()
    assert path.read_bytes() == b"five\n"
    assert (tmp_path / "log.1").read_bytes() == b"three three\nfour\n"
    assert len(list(tmp_path.iterdir())) == 2


def test_file_that_cannot_be_opened_is_one_clear_error(tmp_path: Path) -> None:
    settings = ServerSettings(log_file=tmp_path / "none" / "log")
    with pytest.raises(FailedPrecondition) as caught:
        configure_logging(settings)
    assert caught.value.metadata["path"] == str(tmp_path / "none" / "log")


def test_a_line_may_be_made_when_it_is_written(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    log.write(b"1\n")
    log.write_later(lambda: b"2\n")
    log.write(b"3\n")
    log.write_out()
    assert (tmp_path / "log").read_bytes() == b"1\n2\n3\n"
