"""The Python client: the verbs of a running service over HTTP, errors as those of the tree."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final, cast

import httpx
import orjson
import pyarrow as pa

from models.errors import (
    Conflict,
    InputError,
    InvalidInput,
    NotFound,
    Problem,
    Refused,
    TwinError,
    Unavailable,
)

DEFAULT_URL: Final = "http://127.0.0.1:8050"
_CONNECT_S: Final = 3.0
_ANSWER_S: Final = 120.0
_LIMIT: Final = 100
Rows = list[dict[str, object]]


class Client:
    """Asks a running parktwin.

    Parameters
    ----------
    url
        Address of the service.
    transport
        Carries the requests; tests pass one that stays in the process.
    """

    def __init__(
        self, url: str = DEFAULT_URL, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1",
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            transport=transport,
            trust_env=False,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def get(self, path: str, **query: object) -> object:
        """JSON of a route.

        Raises
        ------
        InputError, Unavailable, Refused
            As the service answered, or when it does not.
        """
        return orjson.loads(self.raw("GET", path, query=query))

    def rows(self, path: str, **query: object) -> Rows:
        """JSON of a route that answers a list."""
        return cast("Rows", self.get(path, **query))

    def send(self, method: str, path: str, body: object = None, **query: object) -> object:
        """Send a JSON body; the JSON of the answer, None when it is empty."""
        content = None if body is None else orjson.dumps(body)
        answer = self.raw(method, path, content=content, query=query)
        return orjson.loads(answer) if answer else None

    def raw(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        query: Mapping[str, object] | None = None,
    ) -> bytes:
        """Bytes of an answer, with the errors of `get`."""
        params = {k: str(v) for k, v in (query or {}).items() if v is not None}
        try:
            answer = self._http.request(
                method,
                path,
                params=params,
                content=content,
                headers={"Content-Type": "application/json"} if content is not None else None,
            )
        except httpx.TransportError as error:
            raise Unavailable(
                f"no parktwin answers at {self.url} ({type(error).__name__})",
                "start it with `parktwin demo` or `parktwin up PARK.yaml`, or name it with --url",
            ) from error
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and path == "/ready":
            return answer.content
        if answer.is_error:
            raise error_of(answer.status_code, answer.content)
        return answer.content

    def first_park(self) -> str:
        """Id of the only park, or of the first.

        Raises
        ------
        NotFound
            When the service has none.
        """
        parks = self.rows("/parks")
        if not parks:
            raise NotFound("park", "")
        return str(parks[0]["id"])

    def history(self, park: str, tags: Sequence[str], **query: object) -> pa.Table:
        """History as an Arrow table."""
        asked = {"tags": ",".join(tags), "format": "arrow"} | query
        body = self.raw("GET", f"/parks/{park}/history", query=asked)
        with pa.ipc.open_stream(body) as reader:
            return reader.read_all()

    def submit(self, text: str, query: Mapping[str, object]) -> dict[str, object]:
        """Queue a what-if; the run."""
        answer = self.raw("POST", "/whatif", content=text.encode(), query=query)
        return cast("dict[str, object]", orjson.loads(answer))

    def put_text(self, path: str, text: str, query: Mapping[str, object]) -> Rows:
        """Send a text; the list it answers."""
        return cast("Rows", orjson.loads(self.raw("PUT", path, content=text.encode(), query=query)))

    def watch(self, run: str, wait: Callable[[], None]) -> Iterator[dict[str, object]]:
        """One run again and again until it has ended."""
        while True:
            now = cast("dict[str, object]", self.get(f"/whatif/{run}"))
            yield now
            if now["state"] in {"done", "failed", "cancelled"}:
                return
            wait()


def error_of(status: int, body: bytes) -> TwinError:
    """The error a service meant, from its answer."""
    try:
        told = orjson.loads(body)
        what, remedy = str(told["what"]), str(told["remedy"])
        where, problems = str(told.get("where", "")), told.get("problems", [])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        what, remedy, where = body[:_LIMIT].decode(errors="replace") or f"HTTP {status}", "", ""
        problems = []
    if problems:
        return InvalidInput(tuple(Problem(**problem) for problem in problems))
    if status == httpx.codes.CONFLICT:
        return Conflict(what, remedy, where)
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        return Unavailable(what, remedy)
    if status == httpx.codes.FORBIDDEN:
        return Refused(what, remedy)
    if status < httpx.codes.INTERNAL_SERVER_ERROR:
        return InputError(what, remedy, where)
    return Unavailable(what, remedy)
