"""Who looks: language and theme of the request being served."""

from contextvars import ContextVar
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final, Literal
from urllib.parse import parse_qs

from dashboard.design import Theme

Language = Literal["vi", "en"]

LANGUAGE_COOKIE: Final = "parktwin_lang"
THEME_COOKIE: Final = "parktwin_theme"


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Language and theme of one request."""

    language: Language = "vi"
    theme: Theme = "light"


CURRENT: Final[ContextVar[Viewer]] = ContextVar("viewer", default=Viewer())  # noqa: B039
"""Set by the guard for each request, read by layouts and callbacks."""


def read_viewer(query: str, cookie: str, accept_language: str) -> Viewer:
    """Decide language and theme: query first, then cookie, then the browser's languages.

    Parameters
    ----------
    query, cookie, accept_language
        Query string and headers as sent; anything malformed counts as absent.
    """
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    kept = _cookies(cookie)
    language = asked.get("lang") or kept.get(LANGUAGE_COOKIE) or accept_language[:2].lower()
    theme = asked.get("theme") or kept.get(THEME_COOKIE)
    return Viewer(
        language="en" if language == "en" else "vi", theme="dark" if theme == "dark" else "light"
    )


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}
