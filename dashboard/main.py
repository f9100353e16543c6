"""The entry point: one command, its verbs loaded when they are called, and the web application."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from dashboard.verbs.outcome import report

VERBS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "demo": "running",
        "up": "running",
        "gateway": "edge",
        "gateway-token": "edge",
        "serve-opcua": "opcua",
        "opcua": "opcua",
        "serve": "serving",
        "check": "parkfile",
        "schema": "parkfile",
        "apply": "parkfile",
        "endpoint": "endpoint",
        "certificate": "certificate",
        "audit": "control",
        "tags": "reading",
        "read": "reading",
        "history": "reading",
        "at": "reading",
        "whatif": "whatif",
        "replay": "keeping",
        "backup": "keeping",
        "restore": "keeping",
        "migrate": "keeping",
        "bench": "bench",
        "doctor": "doctor",
    }
)
"""Verb → module of `dashboard.verbs` that holds it, imported when the verb is called."""


class Verbs(TyperGroup):
    """The verbs, each imported when it is asked for."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Names in the order of a park's life."""
        del ctx
        return [name for name in VERBS if name != "serve"]

    def get_command(  # type: ignore[override]
        self, ctx: typer.Context, cmd_name: str
    ) -> TyperCommand | None:
        """Import one verb; None for a name that is none."""
        del ctx
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"dashboard.verbs.{VERBS[cmd_name]}")
        command = cast("TyperCommand", get_command(module.VERBS[cmd_name]))
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Digital twin of industrial parks: read PLCs, remember everything, answer what if.",
)


@app.callback()
def parktwin(
    ctx: typer.Context,
    lang: Annotated[str, typer.Option(help="Language of messages: en or vi")] = "en",
) -> None:
    """Digital twin of industrial parks: read PLCs, remember everything, answer what if."""
    ctx.obj = lang if lang in {"en", "vi"} else "en"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code: 0 done, 2 input, 3 unavailable, 4 refused."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return report(lambda: app(words), _language(words))


def main() -> None:
    """Entry of the ``parktwin`` command."""
    sys.exit(run())


def _language(words: Sequence[str]) -> str:
    """Language of a message about the command line itself, before it was read."""
    chosen = next((w.partition("=")[2] for w in words if w.startswith("--lang=")), "")
    if not chosen and "--lang" in words[:-1]:
        chosen = words[words.index("--lang") + 1]
    return "vi" if chosen == "vi" else "en"


if __name__ == "__main__":
    main()
