"""What a page is, and what it is given: explicit values, wired by the app."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, quote, unquote, urlencode

from dash import Dash
from dash.development.base_component import Component

from cluster.ports import FigureSpec, Label, NotFound, ParkService, ParkSummary
from dashboard.figures.style import Style
from dashboard.viewer import CURRENT, Viewer
from dashboard.words.book import Words, words
from dashboard.words.key import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One look at a page: who looks, at which park, with which address.

    Parameters
    ----------
    service
        What may be asked.
    park, parks
        The park looked at, and how many there are to choose from.
    specs
        Its live figures by id.
    viewer, words
        Language and theme, and the texts.
    path
        Path of the address.
    params
        Parts of the path a page names, e.g. ``{"id": "acme/moulding/l1"}``.
    query
        First value of each name in the query string.
    """

    service: ParkService
    park: ParkSummary
    parks: tuple[ParkSummary, ...]
    specs: Mapping[str, FigureSpec]
    viewer: Viewer
    words: Words
    path: str = "/"
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def style(self) -> Style:
        """How figures are drawn for this viewer."""
        return Style(theme=self.viewer.theme, language=self.viewer.language, tz=self.park.tz)

    def href(self, path: str, **query: str) -> str:
        """Return an address inside the app that keeps the park."""
        kept = {"park": self.park.id} if "park" in self.query else {}
        asked = urlencode(kept | query)
        return quote(path) + (f"?{asked}" if asked else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page, as a value.

    Parameters
    ----------
    path
        ``/energy``, or with one open end: ``/asset/<id>`` matches all that follows.
    title
        Key of its name.
    layout
        Builds the page for a visit.
    wire
        Connects its callbacks, once.
    profile
        Profile of its live stream; ``{id}`` is filled from the path.
    icon
        Icon in the navigation; empty keeps it out of there.
    section
        Path of the page it is marked under there; empty for the first part of its own.
    """

    path: str
    title: Key
    layout: Callable[[Visit], Awaitable[Component]]
    wire: Callable[[Dash, "Desk"], None] = lambda _app, _desk: None
    profile: str = "shell"
    icon: str = ""
    section: str = ""

    def match(self, path: str) -> Mapping[str, str] | None:
        """Return the named parts when the path is this page's, else None."""
        path = unquote(path).rstrip("/") or "/"
        head, open_end, name = self.path.partition("<")
        if not open_end:
            return {} if path == self.path else None
        rest = path.removeprefix(head)
        return {name.rstrip(">"): rest} if path.startswith(head) and rest else None


class Desk:
    """Builds visits: the service, and the park shown when the address names none."""

    def __init__(self, service: ParkService, default_park: str | None) -> None:
        self.service = service
        self.default_park = default_park

    async def visit(
        self, search: str | None, path: str = "/", params: Mapping[str, str] | None = None
    ) -> Visit:
        """Return the visit of an address.

        Raises
        ------
        NotFound
            The address names a park that is not there, or there is none at all.
        """
        query = {k: v[0] for k, v in parse_qs((search or "").lstrip("?")).items()}
        parks = tuple(await self.service.parks())
        known = {park.id: park for park in parks}
        asked = query.get("park") or self.default_park or next(iter(known), "")
        if asked not in known:
            raise NotFound("park", asked, tuple(known))
        viewer = CURRENT.get()
        spoken = words(viewer.language)
        return Visit(
            service=self.service,
            park=known[asked],
            parks=parks,
            specs={s.id: in_words(spoken, s) for s in await self.service.specs(asked)},
            viewer=viewer,
            words=spoken,
            path=path,
            params=params or {},
            query=query,
        )


def in_words(spoken: Words, spec: FigureSpec) -> FigureSpec:
    """Return a figure with its unit as the viewer's language writes it."""
    unit = spoken.code("unit", spec.unit)
    return spec if unit == spec.unit else replace(spec, unit=unit)


def label_of(visit: Visit, asset_label: Label, fallback: str) -> str:
    """Return a label in the viewer's language, or the id when it has none."""
    return visit.words.label(asset_label) or fallback
