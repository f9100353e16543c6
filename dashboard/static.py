"""Static files compressed once and kept: the bundles of Dash and our assets.

Compressing per request would cost 200 ms of the event loop for the plot bundle alone.
"""

import asyncio
import gzip
import re
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIXES: Final = ("/_dash-component-suites/", "/assets/")
COMPRESSIBLE: Final = re.compile(r"^(text/|application/(javascript|json)|image/svg)")
FINGERPRINT: Final = re.compile(r"\.v\d[\w.]*m\d+\.")
FOREVER: Final = "public, max-age=31536000, immutable"
ONE_DAY: Final = "public, max-age=86400"


@dataclass(frozen=True, slots=True)
class Kept:
    """One file as served: its headers, and its bytes per encoding."""

    headers: tuple[tuple[bytes, bytes], ...]
    plain: bytes
    encoded: dict[str, bytes]


class StaticCache:
    """Serve static files from memory, brotli or gzip encoded, and let browsers keep them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: dict[str, Kept] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if (
            scope["type"] != "http"
            or scope["method"] != "GET"
            or not scope["path"].startswith(PREFIXES)
        ):
            await self._app(scope, receive, send)
            return
        kept = self._kept.get(scope["path"]) or await self._fetch(scope, receive, send)
        if kept is not None:
            await _send(kept, scope, send)

    async def _fetch(self, scope: Scope, receive: Receive, send: Send) -> Kept | None:
        """Ask the app once; pass an answer that is not 200 through and keep nothing."""
        start: Message = {}
        chunks: list[bytes] = []
        bare = dict(scope)
        bare["headers"] = [
            (k, v)
            for k, v in scope["headers"]
            if k not in (b"range", b"if-none-match", b"if-modified-since")
        ]

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                chunks.append(message.get("body", b""))

        await self._app(bare, receive, collect)
        body = b"".join(chunks)
        if start.get("status") != 200:
            await send(start)
            await send({"type": "http.response.body", "body": body})
            return None
        kept = await asyncio.to_thread(_keep, start, body)
        self._kept[scope["path"]] = kept
        return kept


def _keep(start: Message, body: bytes) -> Kept:
    headers = Headers(raw=start["headers"])
    encoded: dict[str, bytes] = {}
    if COMPRESSIBLE.match(headers.get("content-type", "")) and len(body) > 500:
        brotli = pa.Codec("brotli", compression_level=9)
        encoded = {"br": brotli.compress(body, asbytes=True), "gzip": gzip.compress(body, 8)}
    dropped = (b"content-length", b"cache-control", b"content-encoding", b"etag", b"last-modified")
    lasting = tuple((k, v) for k, v in start["headers"] if k.lower() not in dropped)
    return Kept(lasting, body, encoded)


async def _send(kept: Kept, scope: Scope, send: Send) -> None:
    accepted = Headers(scope=scope).get("accept-encoding", "")
    encoding = next((name for name in ("br", "gzip") if name in accepted), "")
    body = kept.encoded.get(encoding, kept.plain)
    start: Message = {"type": "http.response.start", "status": 200, "headers": list(kept.headers)}
    headers = MutableHeaders(raw=start["headers"])
    headers["content-length"] = str(len(body))
    headers["vary"] = "Accept-Encoding"
    headers["cache-control"] = FOREVER if _fingerprinted(scope) else ONE_DAY
    if encoding in kept.encoded:
        headers["content-encoding"] = encoding
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _fingerprinted(scope: Scope) -> bool:
    query = scope.get("query_string", b"")
    return b"m=" in query or FINGERPRINT.search(scope["path"]) is not None
