"""Making a verb of a function."""

from collections.abc import Callable

import typer


def verb(function: Callable[..., None]) -> typer.Typer:
    """Make a command of its own."""
    made = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    made.command()(function)
    return made


def group(about: str, *functions: Callable[..., None]) -> typer.Typer:
    """Make a group of commands; a trailing underscore of a name is dropped."""
    made = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=about
    )
    for function in functions:
        made.command(function.__name__.removesuffix("_"))(function)
    return made
