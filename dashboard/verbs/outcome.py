"""How a verb ends: what it printed, or a cause with a remedy and an exit code."""

from collections.abc import Callable
from typing import Final

import typer

from cluster.ports import InputError, InvalidInput, Refused, TwinError, Unavailable

DONE, INPUT, UNAVAILABLE, REFUSED = 0, 2, 3, 4
_WORDS: Final = {
    "en": {
        "error": "error",
        "remedy": "what to do",
        "problems": "{n} problem(s):",
        "file": "check the path, its rights and the free space",
    },
    "vi": {
        "error": "lỗi",
        "remedy": "cách xử lý",
        "problems": "{n} lỗi:",
        "file": "kiểm tra đường dẫn, quyền và dung lượng trống",
    },
}


def report(verb: Callable[[], object], lang: str = "en") -> int:
    """Run a verb; its exit code. Errors of ours are told without a traceback."""
    try:
        verb()
    except TwinError as error:
        tell_error(error, lang)
        return code_of(error)
    except OSError as error:
        if error.filename is None:
            raise
        what = f"{error.filename}: {error.strerror}"
        tell_error(InputError(what, _WORDS[lang]["file"]), lang)
        return INPUT
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else DONE
    return DONE


def code_of(error: TwinError) -> int:
    """Exit code of an error."""
    if isinstance(error, InputError):
        return INPUT
    if isinstance(error, Unavailable):
        return UNAVAILABLE
    return REFUSED if isinstance(error, Refused) else 1


def tell_error(error: TwinError, lang: str = "en") -> None:
    """Write cause and remedy to standard error."""
    words = _WORDS[lang]
    if isinstance(error, InvalidInput):
        typer.echo(words["problems"].format(n=len(error.problems)), err=True)
        for problem in error.problems:
            typer.echo(f"  {problem}", err=True)
        return
    where = getattr(error, "where", "")
    what = getattr(error, "what", "") or str(error)
    typer.echo(f"{words['error']}: {where + ': ' if where else ''}{what}", err=True)
    if remedy := getattr(error, "remedy", ""):
        typer.echo(f"{words['remedy']}: {remedy}", err=True)
