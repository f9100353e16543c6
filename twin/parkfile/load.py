"""Reading park files: text → strict YAML → schema → references → compiled `Park`."""

from pathlib import Path as FilePath

from models.errors import InputError, InvalidInput, Problem
from twin.park import Park
from twin.parkfile.checks import faults, hints
from twin.parkfile.compile import compile_park
from twin.parkfile.problems import examine
from twin.parkfile.schema import ParkFile
from twin.parkfile.strict_yaml import MAX_BYTES, Document, read_documents


def load_park(path: FilePath) -> Park:
    """Read a park file.

    Raises
    ------
    InvalidInput
        With every fault of the file at once.
    InputError
        When the file cannot be read.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"cannot read {path}: {reason}", "check the path and its rights"
        ) from error
    if size > MAX_BYTES:
        message = f"{size:,} bytes is over the {MAX_BYTES:,} a file may have"
        raise InvalidInput((Problem(message=message, file=str(path), suggestion="split it"),))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidInput(
            (
                Problem(
                    message=f"byte {data[error.start]:#04x} is no UTF-8",
                    file=str(path),
                    line=line,
                    suggestion="save the file as UTF-8",
                ),
            )
        ) from error
    return read_park(text, str(path))


def read_park(text: str, file: str = "") -> Park:
    """Read the text of a park file; other kinds of documents may stand beside the park.

    Parameters
    ----------
    text
        YAML or JSON.
    file
        Name shown in problems.

    Raises
    ------
    InvalidInput
        With every fault of the text at once.
    """
    documents, strict = read_documents(text, file)
    document = _park_among(documents, file)
    examined = examine(ParkFile, document, file)
    problems = [*strict, *examined.problems]
    spec = examined.model
    if spec is not None:
        found = faults(spec, document, file)
        noise = examined.mended
        problems += [p for path, p in found if not any(path[: len(m)] == m for m in noise)]
    if problems or spec is None:
        ordered = sorted(dict.fromkeys(problems), key=lambda p: (p.line or 0, p.path))
        raise InvalidInput(tuple(ordered))
    return compile_park(spec, document, text, hints(spec, document, file))


def _park_among(documents: tuple[Document, ...], file: str) -> Document:
    parks = [document for document in documents if document.kind == "Park"]
    if len(parks) == 1:
        return parks[0]
    if parks:
        problem = Problem(
            message="a second park in one file",
            path="kind",
            file=file,
            line=parks[1].line,
            suggestion="give each park its own file",
        )
        raise InvalidInput((problem,))
    if len(documents) == 1 and isinstance(documents[0].value, dict) and documents[0].kind == "":
        return documents[0]
    line = documents[0].line_of(("kind",)) if documents else 1
    seen = ", ".join(repr(d.kind) for d in documents if d.kind) or "no kind"
    problem = Problem(
        message=f"no park in the file, found {seen}",
        path="kind",
        file=file,
        line=line,
        suggestion="write 'kind: Park' at the top",
    )
    raise InvalidInput((problem,))


def json_schema() -> dict[str, object]:
    """JSON Schema of ``kind: Park``, for editors; quantities carry their dimension and unit."""
    schema: dict[str, object] = ParkFile.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
