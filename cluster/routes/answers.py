"""Answers of the API: JSON of our values, tables in the asked format, and errors as bodies."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final, cast

import orjson
import pyarrow as pa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from cluster.routes.documents import ErrorBody
from cluster.wire import FORMATS, plain, render, to_json
from models.errors import (
    Conflict,
    InputError,
    InvalidInput,
    NotFound,
    Refused,
    TwinError,
    Unavailable,
)

logger = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 2
_SECRETS: Final = frozenset({"password"})
ERRORS: Final[dict[int | str, dict[str, object]]] = {
    403: {"model": ErrorBody, "description": "Not allowed, or unsafe"},
    404: {"model": ErrorBody, "description": "Nothing of that name"},
    409: {"model": ErrorBody, "description": "It clashes with what is already there"},
    413: {"model": ErrorBody, "description": "The body is too large"},
    422: {"model": ErrorBody, "description": "The caller can mend it"},
    503: {"model": ErrorBody, "description": "Try again later (Retry-After)"},
}


def answer(value: object, status: int = 200) -> Response:
    """JSON of a value of ours."""
    return Response(to_json(value), status_code=status, media_type="application/json")


def table(rows: pa.Table, form: str, lang: str, name: str) -> Response:
    """A table in the asked format; all but JSON are offered as a file of that name."""
    body = render(rows, form, lang)
    headers = {"X-Rows": str(rows.num_rows)}
    if form != "json":
        headers["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    return Response(body, media_type=FORMATS[form], headers=headers)


def error_answer(error: TwinError) -> Response:
    """The HTTP answer of an error of the tree."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, Unavailable) else None
    body = orjson.dumps(error_body(error))
    return Response(body, _status(error), headers, "application/json")


def error_body(error: TwinError) -> dict[str, object]:
    """The body of an error, as `ErrorBody` documents it."""
    body: dict[str, object] = {
        "error": type(error).__name__,
        "what": getattr(error, "what", str(error)),
        "remedy": getattr(error, "remedy", ""),
        "where": getattr(error, "where", ""),
        "problems": [],
    }
    if isinstance(error, InvalidInput):
        body["what"] = f"{len(error.problems)} problem(s)"
        body["problems"] = [plain(problem) for problem in error.problems]
    return body


def install(api: FastAPI) -> None:
    """Answer every error of the tree, every malformed request and every surprise as a body."""

    @api.exception_handler(TwinError)
    async def _twin(_request: Request, error: Exception) -> Response:
        return error_answer(error if isinstance(error, TwinError) else TwinError(str(error)))

    @api.exception_handler(RequestValidationError)
    async def _malformed(_request: Request, error: Exception) -> Response:
        found = error.errors() if isinstance(error, RequestValidationError) else []
        return Response(orjson.dumps(_validation(found)), 422, media_type="application/json")

    @api.exception_handler(HTTPException)
    async def _http(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = error.detail if isinstance(error, HTTPException) else str(error)
        remedy = "/api/v1/openapi.json lists every route" if status in {404, 405} else ""
        body = {"error": "HTTP", "what": detail, "remedy": remedy, "where": "", "problems": []}
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return Response(orjson.dumps(body), status, headers, "application/json")

    @api.exception_handler(Exception)
    async def _surprise(request: Request, error: Exception) -> Response:
        logger.error("unexpected error", exc_info=error, extra={"path": request.url.path})
        body = {
            "error": "Unexpected",
            "what": "the service failed at this request",
            "remedy": "it is in the log; please report it with the request",
            "where": request.url.path,
            "problems": [],
        }
        return Response(orjson.dumps(body), 500, media_type="application/json")


def _status(error: TwinError) -> int:
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, Conflict):
        return 409
    if isinstance(error, InputError):
        return 422
    if isinstance(error, Unavailable):
        return 503
    return 403 if isinstance(error, Refused) else 500


def _validation(found: Sequence[Mapping[str, object]]) -> dict[str, object]:
    problems: list[dict[str, object]] = []
    for one in found:
        place = [str(part) for part in cast("Sequence[object]", one.get("loc", ()))]
        shown = "(not shown)" if _SECRETS & set(place) else repr(one.get("input"))[:80]
        problems.append(
            {
                "message": f"{one.get('msg', '')}, got {shown}",
                "path": ".".join(place),
                "file": "",
                "line": None,
                "suggestion": "",
            }
        )
    return {
        "error": "InvalidInput",
        "what": f"{len(problems)} problem(s)",
        "remedy": "mend the fields named in problems",
        "where": problems[0]["path"] if problems else "",
        "problems": problems,
    }
