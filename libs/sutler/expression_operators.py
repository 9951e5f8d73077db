"""What an expression does that may cost much, read from its text: loops, additions, comparisons, patterns."""

from __future__ import annotations

import re

from sutler.patterns import pattern_weight

COMPILING = 16
"""How many characters could be read while one of a regular expression is compiled."""

CLASS = 1600
"""How much longer a class such as ``\\\\pL`` takes, which holds hundreds of ranges."""

COSTLIEST_PATTERN = 30_000_000
"""What the largest regular expression that the engine takes can cost, and any that it does not take."""

COSTLY = 1_000_000
"""What regular expressions may cost without a look at the values."""

_TOKEN = re.compile(
    r"""//[^\n]*|[bB]?[rR](?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')"""
    r"""|\"{3}(?:\\.|.)*?\"{3}|'{3}(?:\\.|.)*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[A-Za-z_][A-Za-z0-9_]*""",
    re.DOTALL,
)
_LOOPS = re.compile(r"\.\s*(all|exists|exists_one|map|filter)\s*\(")
_BUILDS = re.compile(r"\.\s*(map|filter)\s*\(")
_READS = re.compile(
    r"\b(size|matches|contains|indexOf|lastIndexOf|lowerAscii|upperAscii|reverse|quote|trim|substring|charAt)\s*\("
)
_SLOW = re.compile(r"\.\s*(replace|join|split|format)\s*\(")
_REPLACES = re.compile(r"\.\s*replace\s*\(")
_REPLACES_BY_LITERAL = re.compile(r"\.\s*replace\s*\(\s*\0\d+\0\s*,\s*\0(\d+)\0\s*(?:,\s*\d+\s*)?\)")
_JOINS = re.compile(r"\.\s*join\s*\(")
_FORMATS = re.compile(r"\.\s*format\s*\(")
_MATCHES = re.compile(r"\bmatches\s*\((?:[^()]*,)?\s*(?:\0(\d+)\0\s*\))?")
_PLAIN = r"(?:\0\d+\0|-?[0-9][0-9A-Za-z.]*|true\b|false\b|null\b)"
_ENDS = r"\s*(?:$|[)\],}?:]|&&|\|\|)"
_COMPARES = re.compile(rf"[=!]=(?!\s*{_PLAIN}{_ENDS})|\bin\b(?!\s*\[(?:\s*{_PLAIN}\s*,)*\s*{_PLAIN}\s*\])")
_COMPARES_TEXTS = re.compile(rf"[<>]=?(?!\s*{_PLAIN}{_ENDS})|\b(?:starts|ends)With\s*\(")


class Operators:
    """What stands in an expression, comments and what is in its strings left out.

    Args:
        text: The expression.

    Attributes:
        items: How many items a list or call in it has at the most.
        loops: How many loops there are.
        builds: How many of these build a list.
        adds: How many additions there are, and other ways to make one value of two, such as ``[x, x]``.
        reads: How many calls go through a whole text.
        slow: How many calls replace, split or join texts.
        joins: How many of these join.
        replaced: How long the literals are that replace something.
        multiplies: How many calls replace something by what is no literal.
        compares: How many comparisons of any values there are, but with plain literals.
        compares_texts: How many that take no lists or mappings.
        compiles: Whether it compiles regular expressions that may be costly, or do so again and again.
    """

    def __init__(self, text: str) -> None:
        literals: list[str] = []

        def token(found: re.Match[str]) -> str:
            if found[0].startswith("//"):
                return " "
            if found[0][-1] not in "'\"":
                return found[0]
            literals.append(found[0])
            return f"\0{len(literals) - 1}\0"

        text = _TOKEN.sub(token, text.replace("\0", " "))
        commas = text.count(",")
        self.items = commas + 1
        self.loops = len(_LOOPS.findall(text))
        self.builds = len(_BUILDS.findall(text))
        self.adds = text.count("+") + (self.items if _FORMATS.search(text) else 0)
        if self.builds:
            self.adds += max(0, commas - self.loops)
        self.reads = len(_READS.findall(text))
        self.slow = len(_SLOW.findall(text))
        self.joins = len(_JOINS.findall(text))
        self.replaced = [len(literals[int(place)]) for place in _REPLACES_BY_LITERAL.findall(text)]
        self.multiplies = len(_REPLACES.findall(text)) - len(self.replaced)
        self.compares = len(_COMPARES.findall(text))
        self.compares_texts = len(_COMPARES_TEXTS.findall(text))
        self._patterns = [literals[int(place)] if place else "" for place in _MATCHES.findall(text)]
        self._pattern_cost = sum(map(_compiling, filter(None, self._patterns)))
        self.compiles = "" in self._patterns or self._pattern_cost > COSTLY

    def pattern_cost(self, longest: int, *, braces: bool) -> int:
        """Returns how many characters could be read while the regular expressions are compiled.

        Args:
            longest: The length of the longest text of the values, which may be a regular expression.
            braces: Whether it may repeat anything, or hold classes.
        """
        unknown = COSTLIEST_PATTERN if braces else min(COSTLIEST_PATTERN, COMPILING * longest)
        return self._pattern_cost + self._patterns.count("") * unknown


def _compiling(pattern: str) -> int:
    return min(COSTLIEST_PATTERN, COMPILING * pattern_weight(pattern, class_factor=CLASS))
