"""Effects: what the core wants done outside, as values; and the logic that plugs into a shard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # a gateway knows effects and needs none of what a state computes with
    import pyarrow as pa

    from twin.state import ShardState
    from twin.tags import TagDictionary


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Something that happened in the twin and that the shell has to pass on.

    Parameters
    ----------
    id
        The same for the same happening however often the journal is replayed; the shell passes an
        id on once.
    at_us
        Park time it happened [us since 1970].
    kind
        What happened, dotted: ``clock.rejected``, ``tag.unknown``, ``alarm.raised``.
    data
        Plain data (text, numbers, booleans, None, lists and mappings of them).
    """

    id: str
    at_us: int
    kind: str
    data: Mapping[str, object] = field(default_factory=dict)


class ShardLogic(Protocol):
    """Rules that live in a shard, such as alarms.

    They see the state, the dictionary and park time, nothing else, so that a replay takes the same
    decisions. Ids of their effects must follow from what they saw.
    """

    @property
    def name(self) -> str:
        """Key of this logic inside a snapshot; unique within a shard."""

    def check(self, park_text: str) -> None:
        """Look at the text of a park file before it is journalled.

        Raises
        ------
        InputError
            When it cannot be read; it is not journalled then.
        """

    def learn(self, dictionary: "TagDictionary", park_text: str) -> None:
        """See the tag dictionary and the park file's text: after a restore, and on each change.

        A journal may hold a text that an older parktwin read and this one does not: the logic goes
        on with what it knew, and tells it by an effect.
        """

    def tick(self, state: "ShardState", now_us: int) -> Sequence[Effect]:
        """Look at the state at park time `now_us`."""

    def happened(self, rows: "pa.RecordBatch", now_us: int) -> Sequence[Effect]:
        """See journalled rows of event tags (schema SAMPLES), each batch once, in its order."""

    def command(self, data: Mapping[str, object], now_us: int) -> Sequence[Effect]:
        """Act on a journalled command; one that is meant for other logic is ignored.

        Raises
        ------
        InputError
            When the command is for this logic but cannot be obeyed; nothing may have changed then.
        """

    def snapshot(self) -> Mapping[str, object]:
        """Everything this logic remembers, as plain data."""

    def restore(self, data: Mapping[str, object]) -> None:
        """Inverse of `snapshot`; an empty mapping is the state at birth."""
