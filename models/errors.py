"""The one error tree of parktwin.

TwinError
├── InputError      the caller can fix it      -> HTTP 4xx, text at the field
│   ├── InvalidInput   a list of problems, each with file, line, path and a suggestion
│   ├── NotFound       nothing of that name; near names are offered
│   └── Conflict       it clashes with what is already there
├── Unavailable     try again later            -> HTTP 503, back-off, grey tile
│   ├── SourceOffline  an endpoint does not answer
│   └── DiskLow        not enough free disk to acknowledge
└── Refused         not allowed, or unsafe     -> HTTP 403, or no start
    ├── MixedInstall   driver and workers run different code
    ├── ShardOwned     another process holds the shard's folder
    ├── Corrupt        stored bytes fail their checksum
    └── NewerFormat    the data was written by a newer version

An error carries its data in ``args`` (so it survives pickling) and says what to do.
"""

from dataclasses import dataclass
from difflib import get_close_matches


class TwinError(Exception):
    """Root of every error parktwin raises on purpose."""


class InputError(TwinError):
    """The caller can fix it: says what is wrong, where, and how to mend it.

    Parameters
    ----------
    what
        What is wrong, with the offending value.
    remedy
        What to do about it.
    where
        Field, path or argument the fault is at; empty when there is only one place.
    """

    def __init__(self, what: str, remedy: str = "", where: str = "") -> None:
        super().__init__(what, remedy, where)
        self.what, self.remedy, self.where = what, remedy, where

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}: {self.remedy}" if self.remedy else head


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault in an input, as data.

    Parameters
    ----------
    message
        What is wrong, with the offending value.
    path
        Dotted path of the fault inside the document, e.g. ``sites[2].areas[0].id``.
    file
        File name, empty for a body sent over HTTP.
    line
        Line, counted from 1; None when there is none.
    suggestion
        How to mend it, e.g. ``did you mean 'cycle_time'?``; empty when nothing fits.
    """

    message: str
    path: str = ""
    file: str = ""
    line: int | None = None
    suggestion: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [p for p in (place, self.path, self.message) if p]
        return ": ".join(parts) + (f" ({self.suggestion})" if self.suggestion else "")


class InvalidInput(InputError):
    """An input with one or more faults, all of them listed at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"{len(problems)} problem(s)")
        self.args = (problems,)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class NotFound(InputError):
    """Nothing of that name; near names are offered."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...] = ()) -> None:
        remedy = did_you_mean(name, known) or "nothing near it is known: check the spelling"
        super().__init__(f"no {kind} {name!r}", remedy)
        near = tuple(get_close_matches(name, known, n=3))
        self.args = (kind, name, near)
        self.kind, self.name = kind, name


class Conflict(InputError):
    """The request clashes with what is already there."""


class Unavailable(TwinError):
    """Not possible now; try again later.

    Parameters
    ----------
    what
        What is not available.
    remedy
        What to look at; empty when waiting is all there is to do.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what, self.remedy = what, remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}" if self.remedy else self.what


class SourceOffline(Unavailable):
    """An endpoint does not answer."""

    def __init__(self, endpoint: str, cause: str) -> None:
        super().__init__(
            f"{endpoint} does not answer ({cause})",
            f"check its power and network, then `parktwin endpoint test {endpoint}`",
        )
        self.args = (endpoint, cause)
        self.endpoint, self.cause = endpoint, cause


class DiskLow(Unavailable):
    """Too little free disk to acknowledge samples."""

    def __init__(self, folder: str, free_fraction: float) -> None:
        super().__init__(
            f"{folder} has {free_fraction:.1%} free", "free disk space; it resumes by itself"
        )
        self.args = (folder, free_fraction)
        self.folder, self.free_fraction = folder, free_fraction


class ClockHeld(Unavailable):
    """Park time jumped so far ahead that it is not believed yet."""

    def __init__(self, ahead_s: float) -> None:
        super().__init__(
            f"park time jumped {ahead_s / 86_400:.1f} days ahead and is held",
            "check this machine's clock; a time that stays is believed soon",
        )
        self.args = (ahead_s,)
        self.ahead_s = ahead_s


class Refused(TwinError):
    """Not allowed, or unsafe to do.

    Parameters
    ----------
    what
        What is refused and why.
    remedy
        What would make it allowed or safe.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what, self.remedy = what, remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}" if self.remedy else self.what


class MixedInstall(Refused):
    """Driver and workers imported the five packages from different places."""


class ShardOwned(Refused):
    """Another process holds the shard's folder."""

    def __init__(self, folder: str, owner: str) -> None:
        super().__init__(
            f"{folder} is held by {owner}", "stop that process, or choose another --data folder"
        )
        self.args = (folder, owner)
        self.folder, self.owner = folder, owner


class Corrupt(Refused):
    """Stored bytes fail their checksum; they are never served."""


class NewerFormat(Refused):
    """The data was written by a newer parktwin."""

    def __init__(self, what: str, found: int, known: int) -> None:
        super().__init__(
            f"{what} has format {found}, this parktwin reads up to {known}",
            "install the newer parktwin, or restore a backup made by this one",
        )
        self.args = (what, found, known)
        self.found, self.known = found, known


def did_you_mean(name: str, known: tuple[str, ...]) -> str:
    """Return a suggestion such as ``did you mean 'l1'?``, or an empty text when nothing is near."""
    near = get_close_matches(name, known, n=3)
    return f"did you mean {', '.join(map(repr, near))}?" if near else ""
