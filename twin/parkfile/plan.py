"""What an edit of a park file would do to tags and to their history: ``apply --dry-run``."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from twin.label import Label
from twin.park import Park
from twin.tags import TagChange, TagDictionary

HISTORY_EFFECTS: Final[Mapping[str, Label]] = MappingProxyType(
    {
        "add": Label(
            vi="điểm đo mới, lịch sử bắt đầu từ lúc áp dụng",
            en="a new tag; its history starts when this is applied",
        ),
        "rename": Label(
            vi="giữ số điểm đo, lịch sử liền mạch dưới tên mới",
            en="keeps its tag; history goes on unbroken under the new path",
        ),
        "replace": Label(
            vi="ý nghĩa đã đổi: điểm đo mới, lịch sử cũ được giữ dưới điểm đo cũ",
            en="its meaning changed: a new tag; the old history stays under the old tag",
        ),
        "remove": Label(
            vi="đóng điểm đo, lịch sử được giữ",
            en="closes the tag; its history stays",
        ),
        "revive": Label(
            vi="mở lại điểm đo cũ, lịch sử có khoảng trống",
            en="opens the old tag again; its history has a hole",
        ),
    }
)
"""Action of a `TagChange` → what it means for history."""


def plan_apply(old: TagDictionary, new: Park, now_us: int = 0) -> list[TagChange]:
    """Changes an edited park would make; nothing is changed.

    Parameters
    ----------
    old
        The dictionary as it stands.
    new
        The edited park.
    now_us
        Park time of the plan [us]; it only dates the rows that are thrown away.
    """
    _, changes = old.plan(new.bindings, now_us)
    return list(changes)


def effect_of(change: TagChange) -> Label:
    """What a change means for the history of its tag."""
    return HISTORY_EFFECTS[change.action]
