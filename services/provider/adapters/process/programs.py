"""Which programs machines may run, as the operator says, and what of their environment could make them run others."""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sutler.errors import Violation

from services.provider.templates import ProcessSpec

ALL = "*"
DEFAULT_PATH = os.defpath.lstrip(":")

LOADER_VARIABLES = (
    *("LD_*", "GCONV_PATH", "GLIBC_TUNABLES", "LOCPATH", "MALLOC_*", "HOSTALIASES", "RESOLV_HOST_CONF"),
    *("BASH_ENV", "BASH_FUNC_*", "BASHOPTS", "ENV", "IFS", "PS4", "SHELLOPTS"),
    *("PYTHON*", "PERL*", "RUBY*", "GEM_*", "BUNDLE_*", "NODE_*", "PHPRC", "PHP_INI_*", "LUA_*", "TCLLIBPATH"),
    *("CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "DOTNET_*", "CORECLR_*"),
    *("OPENSSL_*", "GIO_*", "GTK_*", "QT_*"),
)
"""Variables that make a program load code, from the dynamic loader (ld.so(8)) to interpreters and plug-ins."""

_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs that templates may name.

    Attributes:
        patterns: One with a slash is compared with the real file that a program is, one without with a name that is
            looked up in ``path``. ``*`` allows all, and everything below.
        path: Where the operator's programs are; PATH of the machines, unless all programs are allowed.
    """

    patterns: Sequence[str] = (ALL,)
    path: str = DEFAULT_PATH

    @property
    def all(self) -> bool:
        """Whether all programs are allowed."""
        return ALL in self.patterns

    def path_for(self, wished: str) -> str:
        """Returns where programs are looked up, of a path that the config of a provider wishes."""
        return wished if self.all else self.path

    def violations(self, spec: ProcessSpec) -> Iterator[Violation]:
        """Yields what the operator does not allow."""
        if self.all:
            return
        if not self.allows(spec.command[0]):
            yield Violation("process.command[0]", "is not a program that the operator allows", "PROGRAM_NOT_ALLOWED")
        for key in spec.environment:
            if any(fnmatchcase(key, pattern) for pattern in LOADER_VARIABLES):
                text = "would make a program load code, which the operator does not allow"
                yield Violation(f"process.environment[{key!r}]", text, "VARIABLE_NOT_ALLOWED")

    def allows(self, program: str) -> bool:
        """Returns whether a program is allowed, as far as there is one; one that is not there is judged by its name.

        What a pattern cannot tell is refused: a variable, a relative path, a path that climbs.
        """
        if self.all:
            return True
        if "{{" in program or ("/" in program and os.path.normpath(os.path.join("/", program)) != program):
            return False
        if not any(fnmatchcase(program, pattern) for pattern in self.patterns if _kin(program, pattern)):
            return False
        return "/" not in program or not os.path.exists(program) or self._holds(os.path.realpath(program))

    def find(self, program: str) -> str | None:
        """Returns the real file of an allowed program; None if there is none, or if it is another one by now.

        A name stays as it is where all programs are allowed: the machine's own PATH says what it means.
        """
        if self.all:
            return program
        if "/" not in program:
            found = shutil.which(program, path=self.path)
            return None if found is None else os.path.realpath(found)
        file = os.path.realpath(program)
        return file if self._holds(file) else None

    def _holds(self, file: str) -> bool:
        return any(fnmatchcase(file, _real(pattern)) for pattern in self.patterns if "/" in pattern)


def _kin(program: str, pattern: str) -> bool:
    """Returns whether a pattern is about programs that are named so: by a path, or by a name alone."""
    return ("/" in program) == ("/" in pattern)


def _real(pattern: str) -> str:
    """Returns a pattern for real files: what stands before its first wildcard may go through links."""
    wildcard = _WILDCARD.search(pattern)
    if wildcard is None:
        return glob.escape(os.path.realpath(pattern))
    folder, _, rest = pattern[: wildcard.start()].rpartition("/")
    return os.path.join(glob.escape(os.path.realpath(folder or "/")), rest + pattern[wildcard.start() :])
