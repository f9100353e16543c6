"""Making a verb of a function."""

from collections.abc import Callable, Mapping

import typer


def verb(function: Callable[..., None]) -> typer.Typer:
    """Make a command of its own."""
    made = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    made.command()(function)
    return made


def group(about: str, commands: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """Make a group of commands by their names."""
    made = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=about
    )
    for name, function in commands.items():
        made.command(name)(function)
    return made
