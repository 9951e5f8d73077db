"""Why a process could not be started, in words that anyone may read."""

from __future__ import annotations

import errno

from sutler.errors import Violation

from services.provider.diagnostics import Category, Diagnostic, Kind

_SUMMARIES = {
    errno.ENOENT: "the program or folder does not exist",
    errno.EACCES: "the program may not be executed, or the folder not be entered, by this user",
    errno.ENOEXEC: "the program is of a format that this host cannot execute",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.E2BIG: "arguments and environment are too long for this host",
    errno.EINVAL: "an argument or a value of the environment is not allowed here",
    errno.EPERM: "a limit is higher than this user may set",
    errno.EAGAIN: "this user has as many processes as the host allows",
    errno.ENOMEM: "the host has no memory for it",
    errno.EMFILE: "the service has as many files open as the host allows",
    errno.ENFILE: "the host has as many files open as it can",
    errno.ENOSPC: "the disk of the machines is full",
    errno.EDQUOT: "the disk quota of this user is used up",
}
_PERMANENT = {
    errno.ENOENT,
    errno.EACCES,
    errno.ENOEXEC,
    errno.ENOTDIR,
    errno.E2BIG,
    errno.EINVAL,
    errno.EPERM,
}
_CAPACITY = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT}


def start_failed(number: int, field: str) -> Diagnostic:
    """Returns what went wrong when a start failed with an errno."""
    code = errno.errorcode.get(number, "UNKNOWN")
    summary = _SUMMARIES.get(number, f"the host refused to start it ({code})")
    if number in _PERMANENT:
        return Diagnostic(category=Category.VALIDATION, kind=Kind.PERMANENT, code=code, summary=summary, field=field)
    if number in _CAPACITY:
        return Diagnostic(category=Category.CAPACITY, kind=Kind.CAPACITY, code=code, summary=summary)
    return Diagnostic(category=Category.INTERNAL, kind=Kind.TRANSIENT, code=code, summary=summary)


def too_slow(seconds: float) -> Diagnostic:
    """Returns what went wrong when a start took longer than it may."""
    return Diagnostic(
        category=Category.DEADLINE,
        kind=Kind.TRANSIENT,
        code="LATE",
        summary=f"it had not started after {seconds:g} s and was ended",
    )


def not_allowed(violation: Violation) -> Diagnostic:
    """Returns what went wrong when the operator does not, or no more, allow what a machine is."""
    return Diagnostic(
        category=Category.VALIDATION,
        kind=Kind.PERMANENT,
        code=violation.reason,
        summary=f"{violation.field} {violation.description}",
        field=violation.field,
    )


def unreadable() -> Diagnostic:
    """Returns what went wrong when nothing tells whether a launch was made."""
    return Diagnostic(
        category=Category.INTERNAL,
        kind=Kind.TRANSIENT,
        code="RECORD",
        summary="the record of its launch cannot be read, so whether it ran is not known",
    )


def broken() -> Diagnostic:
    """Returns what went wrong when the launcher itself failed."""
    return Diagnostic(
        category=Category.INTERNAL,
        kind=Kind.TRANSIENT,
        code="LAUNCHER",
        summary="the launcher failed; see the service's log",
    )
