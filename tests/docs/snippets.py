"""Finds the runnable snippets of the READMEs.

Fenced blocks marked ``sh`` and ``python`` are run; a block that cannot be is marked ``text`` or ``console``, or has the
comment ``<!-- not run: reason -->`` on the line before. A block after a line that ends with the name of a file and a
colon is that file, for whoever follows the recipe; a test does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"(?P<skip><!-- not run: [^\n]+ -->\n+)?^```(?P<language>sh|python)\n(?P<code>.*?)^```$", re.M | re.S
)
FILE = re.compile(r"`(?P<path>[\w/]+\.(?:py|proto))`[^`\n]*:\n+^```(?:python|proto)\n(?P<code>.*?)^```$", re.M | re.S)


def readmes() -> list[Path]:
    """Returns the READMEs of the checkout, from the root; those of hidden folders and of packages are not ours."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("README.md"))
    return sorted(path for path in found if not any(part[0] == "." or part == "node_modules" for part in path.parts))


@dataclass(frozen=True, slots=True)
class Snippet:
    """One block.

    Attributes:
        path: The README, from the root.
        line: Where its code begins.
        language: ``sh`` or ``python``.
        code: What to run.
    """

    path: Path
    line: int
    language: str
    code: str


def snippets(path: Path) -> list[Snippet]:
    """Returns the blocks of a README that are to be run; lines that call make are CI's own business."""
    text = (ROOT / path).read_text()
    whole_files = {match.start("code") for match in FILE.finditer(text)}
    found = []
    for match in BLOCK.finditer(text):
        lines = [line for line in match["code"].splitlines() if not line.startswith("make ")]
        if match["skip"] or match.start("code") in whole_files or not any(lines):
            continue
        line = text.count("\n", 0, match.start("code")) + 1
        found.append(Snippet(path, line, match["language"], "\n".join(lines) + "\n"))
    return found


def files(path: Path) -> dict[str, str]:
    """Returns the files that a README gives in full, by their path from the root."""
    return {match["path"]: match["code"] for match in FILE.finditer((ROOT / path).read_text())}


def moved(code: str, ports: dict[int, int]) -> str:
    """Returns code with the default ports replaced by those of the test's stack."""
    return re.sub(r"(?<=:)(\d{4,5})\b", lambda match: str(ports.get(int(match[1]), match[1])), code)
