"""The door of the web process: same origin, body limit, security headers, language and theme.

Pure ASGI, because middleware made for HTTP alone never sees a WebSocket.
"""

import re
from collections.abc import Callable, Collection, MutableMapping
from typing import Final
from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.viewer import CURRENT, read_viewer

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
BODY_LIMIT: Final = 1_000_000
INGEST_PATHS: Final = ("/api/v1/ingest", "/api/v1/gateway/")
INGEST_LIMIT: Final = 64_000_000
"""Gateways deliver Arrow batches: 10,000 rows are about 0.6 MB, catching up sends more at once."""

LIST_PATH: Final = re.compile(r"/api/v1/parks/[^/]+/endpoints/[^/]+/(diff|mapping)")
LIST_LIMIT: Final = 16 * 2**20
"""A tag list of a large plant; its route holds the same limit."""

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def content_security_policy(script_hashes: Collection[str]) -> str:
    """Return the policy: everything from this origin, no inline script but those hashed."""
    return "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src 'self'", *script_hashes]),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "manifest-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )


class Guard:
    """Wrap the whole ASGI application.

    Parameters
    ----------
    app
        What is guarded.
    policy
        Returns the content security policy; called once per response.
    hosts
        Host names that are answered (against DNS rebinding); empty answers all.
    """

    def __init__(
        self, app: ASGIApp, *, policy: Callable[[], str], hosts: Collection[str] = ()
    ) -> None:
        self._app, self._policy, self._hosts = app, policy, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        CURRENT.set(
            read_viewer(
                scope.get("query_string", b"").decode("latin-1"),
                headers.get("cookie", ""),
                headers.get("accept-language", ""),
            )
        )
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, headers)
        else:
            await self._http(scope, receive, send, headers)

    async def _socket(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        if self._refusal(headers) is None:
            await self._app(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 4403, "reason": "other origin"})

    async def _http(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(message)
            await send(message)

        unsafe = scope["method"] not in SAFE_METHODS
        refused = self._refusal(headers) if unsafe else self._wrong_host(headers)
        if refused is not None:
            await _error(403, *refused)(scope, receive, headed)
            return
        body = await _limited(scope, receive, headers) if unsafe else receive
        if body is None:
            what = f"the body is larger than {_limit(scope['path']) // 1_000_000} MB"
            await _error(413, what, "send less at once")(scope, receive, headed)
            return
        await self._app(scope, body, headed)

    def _wrong_host(self, headers: Headers) -> tuple[str, str] | None:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if not self._hosts or host in self._hosts:
            return None
        return f"this service does not answer to the host {host!r}", "use the address it printed"

    def _refusal(self, headers: Headers) -> tuple[str, str] | None:
        """Why a request that changes something, or a socket, is refused; None when it is not."""
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host", ""):
            return f"the request comes from another origin ({origin})", "open the page itself"
        return self._wrong_host(headers)

    def _add_headers(self, message: MutableMapping[str, object]) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", self._policy())


def _limit(path: str) -> int:
    if path.startswith(INGEST_PATHS):
        return INGEST_LIMIT
    return LIST_LIMIT if LIST_PATH.fullmatch(path) else BODY_LIMIT


async def _limited(scope: Scope, receive: Receive, headers: Headers) -> Receive | None:
    """Return a channel that replays the body, or None when it is over the limit.

    A body of declared length passes through: the server holds the client to its word.
    """
    limit = _limit(scope["path"])
    declared = headers.get("content-length")
    if declared is not None:
        return receive if declared.isdigit() and int(declared) <= limit else None
    chunks: list[Message] = []
    size = 0
    while True:
        message = await receive()
        chunks.append(message)
        size += len(message.get("body", b""))
        if size > limit:
            return None
        if message["type"] != "http.request" or not message.get("more_body", False):
            break

    async def replay() -> Message:
        return chunks.pop(0) if chunks else await receive()

    return replay


def _error(status: int, what: str, remedy: str) -> Response:
    body = orjson.dumps({"error": "Refused", "what": what, "remedy": remedy})
    return Response(body, status_code=status, media_type="application/json")
