"""The door: origin, body limit, headers, language."""

import httpx
import pytest
from fastapi import FastAPI, Request, WebSocket
from starlette.responses import Response

from dashboard.guard import Guard, content_security_policy
from dashboard.static import StaticCache
from dashboard.viewer import CURRENT, Viewer, read_viewer

HERE = "http://park.local"


def guarded(hosts=()):
    app = FastAPI()

    @app.post("/echo")
    async def echo(request: Request):
        return {"size": len(await request.body())}

    @app.get("/who")
    async def who():
        viewer = CURRENT.get()
        return {"language": viewer.language, "theme": viewer.theme}

    @app.websocket("/live")
    async def live(socket: WebSocket):
        await socket.accept()
        await socket.close()

    app.add_middleware(Guard, policy=lambda: content_security_policy(["'sha256-x'"]), hosts=hosts)
    return app


def client(hosts=()):
    return httpx.AsyncClient(transport=httpx.ASGITransport(guarded(hosts)), base_url=HERE)


async def test_a_post_from_another_origin_is_refused_with_a_remedy():
    async with client() as http:
        answer = await http.post("/echo", headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert answer.json()["remedy"]


@pytest.mark.parametrize("headers", [{}, {"origin": HERE}])
async def test_a_post_from_here_or_from_no_page_passes(headers):
    async with client() as http:
        assert (await http.post("/echo", headers=headers, content=b"abc")).json() == {"size": 3}


async def test_a_declared_body_over_the_limit_is_refused():
    async with client() as http:
        answer = await http.post("/echo", content=b"x" * 1_000_001)
    assert (answer.status_code, answer.json()["error"]) == (413, "Refused")


@pytest.mark.parametrize(("chunks", "status"), [(9, 200), (11, 413)])
async def test_a_body_of_unknown_length_is_counted(chunks, status):
    async def body():
        for _ in range(chunks):
            yield b"x" * 100_000

    async with client() as http:
        assert (await http.post("/echo", content=body())).status_code == status


async def test_gateways_may_deliver_more():
    async with client() as http:
        answer = await http.post("/api/v1/ingest/p", content=b"x" * 2_000_000)
    assert answer.status_code == 404


async def test_every_answer_carries_the_security_headers():
    async with client() as http:
        headers = (await http.get("/who")).headers
    assert "script-src 'self' 'sha256-x'" in headers["content-security-policy"]
    assert "unsafe-eval" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


async def test_another_host_name_is_not_answered():
    async with client(["localhost"]) as http:
        assert (await http.get("/who")).status_code == 403
        assert (await http.get("/who", headers={"host": "localhost:80"})).status_code == 200


@pytest.mark.parametrize(
    ("origin", "answer"),
    [("http://evil.example", "websocket.close"), (HERE, "websocket.accept")],
)
async def test_a_socket_opens_only_from_here(origin, answer):
    sent = []
    asked = [{"type": "websocket.connect"}]
    scope = {
        "type": "websocket",
        "path": "/live",
        "raw_path": b"/live",
        "query_string": b"",
        "headers": [(b"host", b"park.local"), (b"origin", origin.encode())],
        "subprotocols": [],
    }

    async def receive():
        return asked.pop(0)

    async def send(message):
        sent.append(message)

    await guarded()(scope, receive, send)
    assert sent[0]["type"] == answer


@pytest.mark.parametrize(
    ("query", "cookie", "accept", "expected"),
    [
        ("", "", "", Viewer(language="vi", theme="light")),
        ("", "", "en-GB,en;q=0.9", Viewer(language="en", theme="light")),
        ("", "parktwin_lang=vi; parktwin_theme=dark", "en", Viewer(language="vi", theme="dark")),
        (
            "lang=en&theme=light",
            "parktwin_lang=vi; parktwin_theme=dark",
            "",
            Viewer(language="en", theme="light"),
        ),
        ("lang=xx", "parktwin_theme=pink", "fr", Viewer(language="vi", theme="light")),
    ],
)
def test_language_and_theme_come_from_query_then_cookie_then_browser(
    query, cookie, accept, expected
):
    assert read_viewer(query, cookie, accept) == expected


async def test_static_files_are_compressed_once_and_kept():
    calls = []
    app = FastAPI()

    @app.get("/assets/a.js")
    async def script():
        calls.append(1)
        return httpx_response("x" * 5000)

    app.add_middleware(StaticCache)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as http:
        first = await http.get("/assets/a.js?m=1", headers={"accept-encoding": "gzip"})
        second = await http.get("/assets/a.js", headers={"accept-encoding": "identity"})
    assert first.headers["content-encoding"] == "gzip"
    assert "immutable" in first.headers["cache-control"]
    assert "content-encoding" not in second.headers
    assert first.text == second.text
    assert len(calls) == 1


def httpx_response(text):
    return Response(text, media_type="text/javascript")
