"""Printing: JSON for programs, tables for people."""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console
from rich.table import Table

from cluster.client import Client
from cluster.wire import plain

Json = Annotated[bool, typer.Option("--json", help="Print JSON")]
Url = Annotated[str, typer.Option(envvar="PARKTWIN_URL", help="Address of the running service")]
ParkId = Annotated[str, typer.Option("--park", help="Park; the first one when left out")]
DEFAULT_URL: Final = "http://127.0.0.1:8050"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WIDTH: Final = 160


def park_of(client: Client, park: str) -> str:
    """The park that was named, or the service's first."""
    return park or client.first_park()


def show_json(value: object) -> None:
    """Print anything as indented JSON."""
    typer.echo(orjson.dumps(plain(value), option=orjson.OPT_INDENT_2).decode())


def show_rows(rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, json: bool) -> None:
    """Print rows: all of them as JSON, or some columns as a table."""
    if json:
        show_json(list(rows))
        return
    grid = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        numeric = any(isinstance(row.get(name), int | float) for row in rows)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(row.get(name)) for name in columns))
    console().print(grid)


def show_fields(value: Mapping[str, object], *, json: bool) -> None:
    """Print one thing: as JSON, or a line per field."""
    if json:
        show_json(value)
        return
    width = max((len(name) for name in value), default=0)
    for name, field in value.items():
        typer.echo(f"{name:<{width}}  {_cell(field)}")


def console() -> Console:
    """The console: the terminal's width, or a wide one into a pipe.

    Brackets and colons are what somebody wrote, ``[kW]`` or ``[/x]``, and no styles or pictures.
    """
    wide = None if sys.stdout.isatty() else _WIDTH
    return Console(
        width=wide, highlight=False, markup=False, emoji=False, soft_wrap=wide is not None
    )


def printable(text: str) -> str:
    """A text whose control characters are shown: those of a server's value steer no terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={_cell(v)}" for k, v in value.items())
    return printable(str(value))
