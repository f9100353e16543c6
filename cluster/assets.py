"""Assets, tags and summaries of a park, as pages and routes see them."""

import unicodedata
from collections.abc import Iterable

import pyarrow as pa

from cluster.live_park import LivePark
from cluster.ports import Asset, FigureSpec, ParkSummary, Tag
from twin.label import Label
from twin.park import Park
from twin.samples import Origin, column_us
from twin.status import quality_class
from twin.tags import TagRow


def summary(live: LivePark) -> ParkSummary:
    """A park at a glance."""
    spec = live.park.spec
    return ParkSummary(
        id=spec.id,
        label=Label(vi=spec.label.vi, en=spec.label.en),
        region=Label(vi=spec.region.label.vi, en=spec.region.label.en),
        tz=spec.tz,
        now_us=live.now_us,
        demo=live.settings.demo,
        speed=live.speed,
        endpoints_up=live.endpoints_up(),
        endpoints=len(live.statuses),
        tags=len(live.dictionary.open),
    )


def all_assets(
    park: Park, specs: Iterable[FigureSpec], rows: Iterable[TagRow]
) -> tuple[Asset, ...]:
    """Every asset with its tags and figures, parents before children."""
    tags: dict[str, list[str]] = {}
    for row in rows:
        asset = row.binding.path.removeprefix(f"{park.id}/").rpartition("/")[0]
        tags.setdefault(asset, []).append(row.binding.path)
    figures: dict[str, list[str]] = {}
    for spec in specs:
        figures.setdefault(spec.asset, []).append(spec.id)
    return tuple(
        Asset(
            id=node.id,
            type=node.type,
            label=node.label,
            parent=node.parent,
            owner=node.owner,
            attributes=node.attributes,
            tags=tuple(tags.get(node.id, ())),
            figures=tuple(figures.get(node.id, ())),
        )
        for node in park.assets.values()
    )


def tags(rows: Iterable[TagRow], latest: pa.RecordBatch, pattern: str) -> list[Tag]:
    """Tags whose path contains a pattern, each with its newest value."""
    wanted = fold(pattern)
    place = {int(tag): k for k, tag in enumerate(latest.column("tag").to_pylist())}
    columns = latest.to_pydict()
    at, seen = column_us(latest, "at"), column_us(latest, "seen_at")
    quality = quality_class(latest.column("status").to_numpy())
    found = []
    for row in rows:
        if wanted not in row.binding.path:
            continue
        k = place.get(row.tag)
        binding = row.binding
        found.append(
            Tag(
                tag=row.tag,
                path=binding.path,
                unit=binding.unit,
                kind=str(binding.kind),
                endpoint=binding.endpoint,
                node=binding.node,
                at_us=None if k is None else int(at[k]),
                seen_us=None if k is None else int(seen[k]),
                value=None if k is None else columns["value"][k],
                text=None if k is None else columns["text"][k],
                status=0 if k is None else columns["status"][k],
                quality=1 if k is None else int(quality[k]),
                origin="" if k is None else Origin(columns["origin"][k]).name.lower(),
            )
        )
    return found


def fold(text: str) -> str:
    """Lower case without diacritics; đ has no decomposition and becomes d."""
    plain = unicodedata.normalize("NFD", text.lower()).replace("đ", "d")
    return "".join(letter for letter in plain if not unicodedata.combining(letter))
