"""Reading what-if texts: strict YAML → schema → the park it names; all faults at once."""

from typing import TypeAlias

from models.errors import InvalidInput, Problem, did_you_mean
from twin.parkfile.problems import examine
from twin.parkfile.schema import ParkFile
from twin.parkfile.strict_yaml import Document, Path, dotted, read_documents
from twin.whatif.origin import read_origin
from twin.whatif.spec import WhatIf
from twin.whatif.variant import Variant, measures_of, try_changes

Told: TypeAlias = tuple[Path, str, str]
"""Where a fault is, what it is, and what to do about it."""


def parse_whatif(text: str, file: str = "") -> tuple[WhatIf, Document]:
    """Read a what-if and check it against the schema alone.

    Parameters
    ----------
    text
        YAML or JSON; other kinds of documents may stand beside it.
    file
        Name shown in problems.

    Raises
    ------
    InvalidInput
        With every fault at once.
    """
    documents, strict = read_documents(text, file)
    found = [document for document in documents if document.kind == "WhatIf"]
    if len(found) != 1:
        what = "no what-if in the text" if not found else f"{len(found)} what-ifs in one text"
        problem = Problem(message=what, path="kind", file=file, suggestion="write 'kind: WhatIf'")
        raise InvalidInput((problem,))
    examined = examine(WhatIf, found[0], file)
    problems = (*strict, *examined.problems)
    if problems or examined.model is None:
        raise InvalidInput(tuple(sorted(problems, key=lambda p: (p.line or 0, p.path))))
    return examined.model, found[0]


def check_whatif(spec: WhatIf, park: ParkFile, document: Document, file: str = "") -> None:
    """Check a what-if against the park it names.

    Raises
    ------
    InvalidInput
        With every fault at once: changes that fit nothing, a reference branch that does not
        exist, an origin that cannot be read.
    """
    found: list[Told] = []
    if spec.park != park.id:
        hint = did_you_mean(spec.park, (park.id,)) or f"this park is {park.id!r}"
        found.append((("park",), f"no park {spec.park!r}", hint))
    if spec.compare.against not in spec.branches:
        hint = did_you_mean(spec.compare.against, tuple(spec.branches))
        hint = hint or f"one of {', '.join(spec.branches)}"
        found.append((("compare", "against"), f"no branch {spec.compare.against!r}", hint))
    try:
        read_origin(spec.from_)
    except InvalidInput as error:
        first = error.problems[0]
        found.append((("from",), first.message, first.suggestion))
    varied: list[Variant] = []
    for branch, changes in spec.branches.items():
        variant, misfits = try_changes(park, changes)
        varied.append(variant)
        found += [
            (("branches", branch, one.number, one.field), one.error.what, one.error.remedy)
            for one in misfits
        ]
    found += _unmeasured(spec, frozenset().union(*(measures_of(one) for one in varied)))
    if found:
        raise InvalidInput(tuple(_problem(one, document, file) for one in found))


def _unmeasured(spec: WhatIf, known: frozenset[str]) -> list[Told]:
    """KPIs that a what-if asks for and its park does not have."""
    asked: list[tuple[Path, str]] = [
        (("compare", "kpis", number, "kpi"), one.kpi)
        for number, one in enumerate(spec.compare.kpis)
    ]
    if spec.ensemble.stop is not None:
        asked.append((("ensemble", "stop", "kpi"), spec.ensemble.stop.kpi))
    hint = f"one of {', '.join(sorted(known))}"
    return [
        (path, f"the park has nothing that {kpi} measures", hint)
        for path, kpi in asked
        if kpi not in known
    ]


def _problem(told: Told, document: Document, file: str) -> Problem:
    path, message, suggestion = told
    return Problem(
        message=message,
        path=dotted(path),
        file=file,
        line=document.line_of(path),
        suggestion=suggestion,
    )
