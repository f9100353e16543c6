"""Reading what-if texts: strict YAML → schema → the park it names; all faults at once."""

from models.errors import InvalidInput, Problem, did_you_mean
from twin.parkfile.problems import examine
from twin.parkfile.schema import ParkFile
from twin.parkfile.strict_yaml import Document, Path, read_documents
from twin.whatif.origin import read_origin
from twin.whatif.spec import WhatIf
from twin.whatif.variant import faults


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
    problems = []
    if spec.park != park.id:
        hint = did_you_mean(spec.park, (park.id,)) or f"this park is {park.id!r}"
        problems.append(_problem(f"no park {spec.park!r}", ("park",), hint, document, file))
    if spec.compare.against not in spec.branches:
        hint = did_you_mean(spec.compare.against, tuple(spec.branches))
        hint = hint or f"one of {', '.join(spec.branches)}"
        what = f"no branch {spec.compare.against!r}"
        problems.append(_problem(what, ("compare", "against"), hint, document, file))
    try:
        read_origin(spec.from_)
    except InvalidInput as error:
        first = error.problems[0]
        problems.append(_problem(first.message, ("from",), first.suggestion, document, file))
    for branch, changes in spec.branches.items():
        for fault in faults(park, branch, changes):
            number = int(fault.path.split("[")[1].split("]")[0])
            path: Path = ("branches", branch, number, fault.path.rsplit(".", 1)[1])
            problems.append(_problem(fault.message, path, fault.suggestion, document, file))
    if problems:
        raise InvalidInput(tuple(problems))


def _problem(message: str, path: Path, suggestion: str, document: Document, file: str) -> Problem:
    dotted = ""
    for part in path:
        dotted += f"[{part}]" if isinstance(part, int) else f".{part}" if dotted else part
    return Problem(
        message=message,
        path=dotted,
        file=file,
        line=document.line_of(path),
        suggestion=suggestion,
    )
