"""Verbs that help to map an endpoint: ``endpoint propose, map, export, lint``."""

import csv
import getpass
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, cast

import orjson
import typer
import xlsxwriter

from cluster.client import Client
from cluster.ports import InputError, Unavailable
from dashboard.verbs.output import (
    DEFAULT_URL,
    Json,
    ParkId,
    Url,
    console,
    park_of,
    show_json,
    show_rows,
)

_PROPOSAL: Final = ("confidence", "sure", "browsed", "path", "unit", "why")
_CHANGE: Final = ("action", "node", "path", "unit", "was")
_FINDING: Final = ("severity", "code", "path", "node", "why", "remedy")
_PROBLEM: Final = ("line", "message", "suggestion")
_POLL_S: Final = 0.5
_LIST_MOST: Final = 16 * 2**20

Id = Annotated[str, typer.Argument(help="Id of the endpoint")]
Address = Annotated[str, typer.Argument(help="Id of an endpoint, or opc.tcp://host:port")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Crawl again, although there is a crawl")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, change nothing")]


def propose(
    endpoint: Address,
    sure: Annotated[bool, typer.Option("--sure", help="Only what may be taken unseen")] = False,
    fresh: Fresh = False,
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Crawl a server and propose a tag for each variable, with how sure that is and why."""
    with Client(url) as client:
        name = park_of(client, park)
        _crawl(client, name, endpoint, fresh=fresh, quiet=json)
        rows = client.rows(f"/parks/{name}/endpoints/proposals", endpoint=endpoint)
    shown = [row for row in rows if row["sure"] or not sure]
    show_rows(shown, _PROPOSAL, json=json)
    if not json:
        certain = sum(1 for row in rows if row["sure"])
        typer.echo(
            f"{len(rows)} proposals, {certain} of them sure; take these with "
            f"`parktwin endpoint map ID --proposed`"
        )


def map_(
    endpoint: Id,
    pairs: Annotated[
        list[str] | None, typer.Argument(help="NODE=PATH or NODE=PATH [unit]; empty path unbinds")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", help="Tag list: CSV, XLSX, a TIA or Kepware export; - reads pasted"),
    ] = None,
    proposed: Annotated[
        bool, typer.Option("--proposed", help="Take all sure proposals of a crawl")
    ] = False,
    rules: Annotated[
        bool, typer.Option("--rules", help="Take nodes that the park file's wildcard rules match")
    ] = False,
    dry_run: DryRun = False,
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Bind nodes to tag paths: by pairs, from a tag list, or as proposed; look with --dry-run."""
    ways = [bool(pairs), file is not None, proposed, rules]
    if sum(ways) != 1:
        raise InputError(
            "say what to bind in one way", "NODE=PATH, --from FILE, --proposed or --rules", "pairs"
        )
    with Client(url) as client:
        name = park_of(client, park)
        if file is not None:
            mapping = _from_list(client, name, endpoint, file, json=json)
        elif pairs:
            mapping = _pairs(pairs)
        else:
            _crawl(client, name, endpoint, fresh=False, quiet=json)
            mapping = _found(client, name, endpoint, proposed=proposed)
            _show_mapping(mapping, json=json)
        if dry_run or not mapping:
            if not json:
                typer.echo(f"{len(mapping)} node(s) would be bound; nothing was changed")
            return
        route = f"/parks/{name}/endpoints/{endpoint}/mapping"
        client.send("PUT", route, mapping, by=getpass.getuser())
    if not json:
        typer.echo(f"{len(mapping)} node(s) bound")


def export(
    endpoint: Id,
    to: Annotated[Path, typer.Argument(help="FILE.csv or FILE.xlsx; - prints CSV")],
    park: ParkId = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Write the mapping of an endpoint as a tag list that `endpoint map --from` reads."""
    kind = to.suffix.lower()
    if str(to) != "-" and kind not in {".csv", ".xlsx"}:
        raise InputError(f"{to.name} is neither .csv nor .xlsx", "name it so, or - to print", "to")
    with Client(url) as client:
        route = f"/parks/{park_of(client, park)}/endpoints/{endpoint}/mapping"
        rows = cast("list[list[str]]", client.get(route))
    if str(to) == "-":
        for row in rows:
            typer.echo(",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row))
        return
    if kind == ".csv":
        # The mark at the front lets Excel read Vietnamese.
        with to.open("w", encoding="utf-8-sig", newline="") as out:
            csv.writer(out).writerows(rows)
    else:
        with xlsxwriter.Workbook(to, {"strings_to_formulas": False}) as book:
            sheet = book.add_worksheet("tags")
            for number, row in enumerate(rows):
                for column, cell in enumerate(row):
                    sheet.write_string(number, column, cell)
    typer.echo(f"{len(rows) - 1} tag(s) in {to}")


def lint(
    endpoint: Id,
    fresh: Fresh = False,
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Say what is wrong with a mapping: units, ranges, duplicates, dead nodes, falling counters."""
    with Client(url) as client:
        name = park_of(client, park)
        _crawl(client, name, endpoint, fresh=fresh, quiet=json)
        rows = client.rows(f"/parks/{name}/endpoints/{endpoint}/lint")
    show_rows(rows, _FINDING, json=json)
    errors = sum(1 for row in rows if row["severity"] == "error")
    if not json:
        typer.echo(f"{errors} error(s), {len(rows) - errors} warning(s)")
    if errors:
        raise typer.Exit(1)


def _crawl(client: Client, park: str, endpoint: str, *, fresh: bool, quiet: bool) -> None:
    """Wait for a crawl, with its progress on the terminal's error stream."""
    route = f"/parks/{park}/endpoints/crawl"
    query = {"endpoint": endpoint, "fresh": str(fresh).lower()}
    with console().status("crawling") if not quiet else _Silent() as status:
        while True:
            told = cast("dict[str, object]", client.send("POST", route, **query))
            query["fresh"] = "false"
            if told["state"] != "running":
                break
            status.update(
                f"{told['nodes']} nodes, {told['levels']} levels, {told['per_s']:.0f}/s,"
                f" {told['left']} left"
            )
            time.sleep(_POLL_S)
    if told["state"] == "failed":
        raise Unavailable(str(told["what"]), str(told["remedy"]))
    if not told["complete"] and not quiet:
        typer.echo("the crawl is not complete: some nodes could not be browsed", err=True)


class _Silent:
    """Progress that nobody sees."""

    def __enter__(self) -> "_Silent":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, text: str) -> None:
        """Say nothing."""


def _from_list(
    client: Client, park: str, endpoint: str, file: Path, *, json: bool
) -> Mapping[str, str]:
    data = _bytes(file)
    route = f"/parks/{park}/endpoints/{endpoint}/diff"
    query = {"name": file.name}
    try:
        told = orjson.loads(client.raw("POST", route, content=data, query=query))
    except Unavailable:
        _crawl(client, park, endpoint, fresh=False, quiet=json)
        told = orjson.loads(client.raw("POST", route, content=data, query=query))
    if json:
        show_json(told)
    else:
        show_rows([c for c in told["changes"] if c["action"] != "same"], _CHANGE, json=False)
        if told["problems"]:
            show_rows(told["problems"], _PROBLEM, json=False)
            typer.echo(f"{len(told['problems'])} row(s) were left out", err=True)
    return cast("dict[str, str]", told["mapping"])


def _bytes(file: Path) -> bytes:
    if str(file) == "-":
        return typer.get_binary_stream("stdin").read(_LIST_MOST + 1)
    try:
        if file.stat().st_size > _LIST_MOST:
            raise InputError(f"{file} is too large", "keep the tags only", "from")
        return file.read_bytes()
    except OSError as fault:
        raise InputError(f"{file} cannot be read ({fault.strerror})", "check the path") from fault


def _found(client: Client, park: str, endpoint: str, *, proposed: bool) -> dict[str, str]:
    if not proposed:
        later = client.get(f"/parks/{park}/endpoints/{endpoint}/later")
        return cast("dict[str, str]", later)
    rows = client.rows(f"/parks/{park}/endpoints/proposals", endpoint=endpoint)
    return {
        str(row["node"]): f"{row['path']} [{row['unit']}]" if row["unit"] else str(row["path"])
        for row in rows
        if row["sure"]
    }


def _show_mapping(mapping: Mapping[str, str], *, json: bool) -> None:
    rows: Sequence[Mapping[str, object]] = [{"node": n, "path": p} for n, p in mapping.items()]
    show_rows(rows, ("node", "path"), json=json)


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    """``nsu=…;s=X=path``: the path is what follows the last equals sign."""
    found = {}
    for text in texts:
        node, equals, path = text.rpartition("=")
        if not equals or not node.startswith("nsu="):
            raise InputError(f"{text!r} is no NODE=PATH", "write nsu=<URI>;s=<name>=<path>", "map")
        found[node] = path
    return found


VERBS: Final[dict[str, Callable[..., None]]] = {
    "propose": propose,
    "map": map_,
    "export": export,
    "lint": lint,
}
