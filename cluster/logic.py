"""The rules that live in a park's shard; the same in service and in a replay."""

from twin.effects import ShardLogic
from twin.park import Park


def park_logic(park: Park) -> tuple[ShardLogic, ...]:
    """Logic of a park."""
    del park
    return ()
