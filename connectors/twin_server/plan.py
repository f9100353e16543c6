"""A park and its figures as an address space: which objects and variables there are, and where.

The tree follows ISA-95 as the park file does: park (Enterprise) → site → area → line → machine,
with the park's utilities and gates beside the sites. Node ids are texts in the park's own
namespace: ``<asset path>/<figure>``, and ``park/<figure>`` for the park's own, so that a tag list
survives a restart and reads like the twin's own paths.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from models.errors import Conflict
from twin.figures import FigureSpec
from twin.label import NO_LABEL, Label
from twin.park import AssetNode, Park

PARK: Final = "park"
"""Node id of the park's object, and the first part of its figures'."""
FORECAST: Final = f"{PARK}/forecast"
FEED: Final = f"{PARK}/feed"
LEVELS: Final[Mapping[str, str]] = MappingProxyType(
    {"site": "Site", "area": "Area", "line": "ProductionLine", "machine": "WorkUnit"}
)
"""Asset type → ISA-95 equipment level (IEC 62264-1)."""
_LEFT_OUT: Final = frozenset({"buffer", "endpoint", "weather"})
"""Types that are left out where no figure belongs to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPlan:
    """One object: its node id, its parent's (empty: the Objects folder), names and level."""

    id: str
    parent: str
    name: str
    label: Label
    kind: str
    level: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FigurePlan:
    """One variable that follows a figure or a forecast.

    Parameters
    ----------
    key
        Figure id, or name of a forecast.
    id, parent, name
        Node id, the object it belongs to, and its browse name.
    label, description
        Names and how it is computed, in both languages.
    unit, low, high
        Unit as shown, and the ends of its range where both are known.
    """

    key: str
    id: str
    parent: str
    name: str
    label: Label
    description: Label
    unit: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpacePlan:
    """A whole address space: parents stand before their children."""

    park: str
    label: Label
    objects: tuple[ObjectPlan, ...]
    figures: tuple[FigurePlan, ...]
    forecasts: tuple[FigurePlan, ...]
    machines: tuple[AssetNode, ...]


def namespace_of(park: str) -> str:
    """Namespace URI of a park."""
    return f"urn:parktwin:{park}"


def plan_space(park: Park, specs: Iterable[FigureSpec]) -> SpacePlan:
    """Lay out a park.

    Parameters
    ----------
    park
        The compiled park.
    specs
        Its figures.

    Raises
    ------
    Conflict
        When two things would get one node id.
    """
    figures = tuple(_figure(park, spec) for spec in specs)
    with_figures = {figure.parent for figure in figures}
    label = Label(vi=park.spec.label.vi, en=park.spec.label.en)
    root = ObjectPlan(id=PARK, parent="", name=park.id, label=label, kind=PARK, level="Enterprise")
    assets = tuple(
        _object(node)
        for node in park.assets.values()
        if node.type not in _LEFT_OUT or node.id in with_figures
    )
    _all_different([PARK, *(a.id for a in assets), *(f.id for f in figures)])
    return SpacePlan(
        park=park.id,
        label=label,
        objects=(root, *assets),
        figures=figures,
        forecasts=FORECASTS,
        machines=park.of_type("machine"),
    )


def _object(node: AssetNode) -> ObjectPlan:
    return ObjectPlan(
        id=node.id,
        parent=node.parent or PARK,
        name=node.id.rpartition("/")[2],
        label=node.label,
        kind=node.type,
        level=LEVELS.get(node.type, ""),
    )


def _figure(park: Park, spec: FigureSpec) -> FigurePlan:
    name = spec.id.rpartition(".")[2]
    parent = spec.asset or PARK
    node = park.assets.get(spec.asset)
    return FigurePlan(
        key=spec.id,
        id=f"{parent}/{name}",
        parent=parent,
        name=name,
        label=spec.label if node is None else _shorter(spec.label, node.label),
        description=spec.formula,
        unit=spec.unit,
        low=spec.scale_low if spec.scale_high is not None else None,
        high=spec.scale_high if spec.scale_low is not None else None,
    )


def _shorter(label: Label, asset: Label) -> Label:
    """The figure's own name: below its asset it need not say which asset it belongs to."""
    return Label(
        vi=label.vi.removeprefix(f"{asset.vi}: "), en=label.en.removeprefix(f"{asset.en}: ")
    )


def _all_different(ids: list[str]) -> None:
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise Conflict(
                f"two nodes would be called {one!r}",
                "rename the asset: its path is also the path of another one's figure",
                "park",
            )
        seen.add(one)


def _forecast(
    name: str, unit: str, label: tuple[str, str], description: tuple[str, str] = ("", "")
) -> FigurePlan:
    return FigurePlan(
        key=name,
        id=f"{FORECAST}/{name}",
        parent=FORECAST,
        name=name,
        label=Label(vi=label[0], en=label[1]),
        description=Label(vi=description[0], en=description[1]) if description[0] else NO_LABEL,
        unit=unit,
    )


FORECASTS: Final = (
    _forecast(
        "peak_mva",
        "MVA",
        ("Đỉnh tải trạm tối nay", "Station peak tonight"),
        ("Trung vị của dự báo tải trạm", "Median of the forecast of the station's load"),
    ),
    _forecast(
        "minutes_to_peak",
        "min",
        ("Còn bao lâu đến đỉnh", "Time to the peak"),
        ("Tính từ giờ của khu công nghiệp", "Counted from park now"),
    ),
    _forecast(
        "n1_minutes",
        "min",
        ("Thời gian chịu được khi mất một máy biến áp", "N-1 headroom tonight"),
        (
            "Máy còn lại chịu được bao lâu nếu máy lớn nhất cắt vào lúc xấu nhất tối nay",
            "How long the rest lasts if the largest transformer trips at the worst moment tonight",
        ),
    ),
    _forecast(
        "n1_minutes_low",
        "min",
        ("Thời gian chịu được, thận trọng", "N-1 headroom tonight, cautious"),
        ("Cùng phép tính ở phân vị tải 95 %", "The same at the 95 % quantile of the load"),
    ),
    _forecast(
        "over_minutes",
        "min",
        ("Thời gian vượt định mức N-1", "Time above the N-1 rating"),
        (
            "Số phút tối nay trung vị tải cao hơn công suất còn lại",
            "Minutes tonight the median load stays above what is left",
        ),
    ),
    _forecast(
        "p_over_pct",
        "%",
        ("Xác suất vượt định mức", "Probability of exceeding the rating"),
    ),
    _forecast(
        "p_over_n1_pct",
        "%",
        ("Xác suất vượt định mức N-1", "Probability of exceeding the N-1 rating"),
    ),
)
"""What is known of the coming evening (`twin.figures.Headroom`)."""
