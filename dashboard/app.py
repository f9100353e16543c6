"""The web application: pages and live socket, mounted on an API that is already there."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Final

from dash import Dash, set_props
from fastapi import FastAPI

from cluster.ports import ParkService, TwinError
from dashboard import shell
from dashboard.components.parts import failed
from dashboard.guard import Guard, content_security_policy
from dashboard.live import LiveHub, live_router
from dashboard.page import Desk
from dashboard.pages.every import PAGES
from dashboard.static import StaticCache
from dashboard.viewer import CURRENT
from dashboard.words.book import words

logger = logging.getLogger(__name__)

ASSETS: Final = Path(__file__).parent / "assets"

INDEX: Final = """<!DOCTYPE html>
<html lang="{language}" data-theme="{theme}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{metas}
<title>{title}</title>
{favicon}
{css}
</head>
<body>
{app_entry}
<footer>{config}{scripts}{renderer}</footer>
</body>
</html>"""


class ParkDash(Dash):
    """Dash with the viewer's language and theme in its index, and without a socket of its own."""

    def init_app(self, app: object = None, **kwargs: object) -> None:
        """Register the routes, but no WebSocket: the live socket is ours."""
        self.backend.websocket_capability = False
        super().init_app(app, **kwargs)

    def interpolate_index(self, **kwargs: str) -> str:  # type: ignore[override]
        """Return the page the browser loads first."""
        viewer = CURRENT.get()
        title = words(viewer.language)("shell.title")
        return INDEX.format(
            **kwargs | {"title": title, "language": viewer.language, "theme": viewer.theme}
        )


def create_app(
    service: ParkService,
    *,
    api: FastAPI,
    default_park: str | None,
    hosts: Collection[str] = (),
) -> FastAPI:
    """Mount the pages and the live socket on an API whose routers are already registered.

    Parameters
    ----------
    service
        What the pages ask.
    api
        The application that holds ``/api``; it is changed and returned.
    default_park
        Park shown when an address names none; None shows the first.
    hosts
        Host names that are answered (against DNS rebinding); empty answers all.
    """
    desk = Desk(service, default_park)
    api.include_router(live_router(LiveHub(service), lambda: desk.default_park))
    app = ParkDash(
        "dashboard",
        server=api,  # type: ignore[arg-type]
        assets_folder=str(ASSETS),
        assets_ignore=r".*\.(txt|md)$",
        suppress_callback_exceptions=True,
        prevent_initial_callbacks=False,
        update_title=None,  # type: ignore[arg-type]
        on_error=tell,
        use_pages=False,
        add_log_handler=False,
    )
    app.layout = shell.skeleton
    shell.wire(app, desk, PAGES)
    for page in PAGES:
        page.wire(app, desk)
    # Dash looks for its assets at the first request, and one for a page other than the first is
    # answered without them: no style, no live values for whoever opens a bookmark after a start.
    app._setup_server()  # type: ignore[no-untyped-call]
    hashes: list[str] = []

    def policy() -> str:
        if not hashes:
            hashes.extend(app.csp_hashes())
        return content_security_policy(hashes)

    api.add_middleware(StaticCache)
    api.add_middleware(Guard, policy=policy, hosts=hosts)
    api.state.dash = app
    return api


def tell(error: Exception) -> None:
    """Show an error of a callback as a notice: its cause and remedy, or a plain apology."""
    spoken = words(CURRENT.get().language)
    if isinstance(error, TwinError):
        set_props("notice", {"children": failed(spoken, error)})
        return
    logger.error("a callback failed", exc_info=error)
    shown = failed(spoken, TwinError(spoken("state.broken")))
    set_props("notice", {"children": shown})
