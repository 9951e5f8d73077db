"""The peer of ``make bench-resource``: itl-controlplane-sdk, in an environment of its own that is kept between runs."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.bench.harness import ROOT, BenchError

PACKAGE = "itl-controlplane-sdk==1.0.3"
HOME = ROOT / ".build" / "peers" / "itl"
STEP = 1000
PROGRAM = """
import json, sys, time
from itl_controlplane_sdk.providers.resource_group_handler import ResourceGroupHandler
step, count = int(sys.argv[1]), int(sys.argv[2])
handler = ResourceGroupHandler({})
rates = []
for first in range(0, count, step):
    start = time.perf_counter()
    for number in range(first, first + step):
        handler.create_resource(
            f"rg-{number}", {"location": "westeurope"}, "ITL.Core/resourcegroups", {"subscription_id": "s1"}
        )
    rates.append(step / (time.perf_counter() - start))
print(json.dumps(rates))
"""


def peer_rates(count: int = 10_000) -> list[float]:
    """Returns how many resources a second the peer creates, in process and in memory, for each 1,000 of ``count``.

    Raises:
        BenchError: If it cannot be installed or does not run.
    """
    python = HOME / "bin" / "python"
    try:
        if not (HOME / ".ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True, capture_output=True)
            install = [str(python), "-m", "pip", "install", "--quiet", PACKAGE]
            subprocess.run(install, check=True, capture_output=True, text=True)
            (HOME / ".ready").touch()
        command = [str(python), "-c", PROGRAM, str(STEP), str(count)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    except subprocess.CalledProcessError as error:
        raise BenchError(f"{PACKAGE}: {error.stderr}") from error
    rates: list[float] = json.loads(answer.splitlines()[-1])
    return rates


def crossing(ours: list[float], theirs: list[float]) -> int:
    """Returns at how many stored resources ours is the faster one, in steps of 1,000; beyond the last if never."""
    for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if mine >= other:
            return (index + 1) * STEP
    return (len(theirs) + 1) * STEP
