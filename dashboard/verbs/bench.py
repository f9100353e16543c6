"""The verb ``bench``: figures of whole capabilities beside a peer."""

from typing import Annotated, Final, cast

import typer

from cluster.bench import registry
from cluster.ports import InputError
from cluster.wire import plain
from dashboard.verbs.output import Json, show_json, show_rows
from dashboard.verbs.verb import verb

_COLUMNS: Final = ("name", "value", "unit", "target", "holds", "peer", "peer_value", "n")


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benches; all when left out")] = None,
    json: Json = False,
) -> None:
    """Measure and print figures with their targets."""
    unknown = [name for name in names or () if name not in registry.BENCHES]
    if unknown:
        known = ", ".join(registry.BENCHES)
        raise InputError(f"no bench {unknown[0]!r}", f"one of {known}", "names")
    reports = []
    for name in names or registry.BENCHES:
        report = cast("dict[str, object]", plain(registry.run(name, _tell)))
        reports.append(report)
        if not json:
            typer.echo(f"{name} on {report['machine']}")
            show_rows(cast("list[dict[str, object]]", report["figures"]), _COLUMNS, json=False)
    if json:
        show_json(reports)


def _tell(progress: str) -> None:
    typer.echo(progress, err=True)


VERBS: Final = {"bench": verb(bench)}
