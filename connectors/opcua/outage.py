"""Times without values: which items may have lost some, judged once the server's queues are empty.

A connection may be lost again before that. What is known of the first outage then is put down as
`Unjudged`, and told together with the second: its values came in the meantime, or with the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.opcua.config import EndpointConfig
from connectors.opcua.decode import Decoder, Present
from connectors.opcua.kernel import NO_TIME
from connectors.opcua.monitor import Monitor
from connectors.opcua.nodes import resolve
from connectors.opcua.recovery import Hole, bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A time without values that is over, and still has to be judged.

    Parameters
    ----------
    from_us, to_us
        Park time of the last sign of life before it, and of the first after it [us].
    seconds
        How long it was by our own clock [s].
    then
        Where the decoder stood before it.
    kept
        Whether the same subscriptions went on after it.
    how
        In what way they went on, or why they did not.
    judge_at
        When the queues should have been emptied [monotonic s].
    told
        Whether a gap row was told for it.
    """

    from_us: int
    to_us: int
    seconds: float
    then: Present
    kept: bool
    how: str
    judge_at: float
    told: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unjudged:
    """An outage that another one followed before it was judged.

    Parameters
    ----------
    outage
        It.
    spans
        Items that may have lost values in it: client handle, and the source times between [us].
    mute
        Whether some item sent nothing since: what it lost is found with the next outage.
    """

    outage: Outage
    spans: tuple[tuple[int, int, int], ...]
    mute: bool


def holes_of(
    spans: Sequence[tuple[int, int, int]], config: EndpointConfig, namespaces: Sequence[str]
) -> list[Hole]:
    """The same as nodes of the present session."""
    holes = []
    for handle, after_us, before_us in spans:
        item = config.items[handle - 1]
        node = resolve(item.namespace, item.identifier, namespaces)
        holes.append(Hole(handle=handle, node=node, after_us=after_us, before_us=before_us))
    return holes


def doubtful(
    monitor: Monitor, decoder: Decoder, outage: Outage
) -> tuple[tuple[int, int, int], ...]:
    """Items that may have lost values in an outage whose queues are empty again."""
    spans = []
    for one in monitor.subscriptions.values():
        for handle, (size, held_s) in one.queues.items():
            values, flooded, last_us, first_us = decoder.since(outage.then, handle)
            # A queue that came back less than full dropped nothing.
            full = values >= size and outage.seconds > held_s
            if outage.kept and not full and not flooded:
                continue
            after_us, before_us = bounded(last_us, first_us, outage.from_us, outage.to_us)
            if before_us > after_us:
                spans.append((handle, after_us, before_us))
    return tuple(spans)


def cut_short(monitor: Monitor, decoder: Decoder, outage: Outage) -> Unjudged:
    """What is known of an outage when its queues could not be emptied before the next one.

    A server drops the oldest values of a queue, so they lie before the first one that came; whether
    a queue was full cannot be told from how many came, only from how long it had to hold them. Of
    subscriptions that were lost, no queue holds anything that a later message could show.
    """
    spans, mute = [], False
    for one in monitor.subscriptions.values():
        for handle, (_, held_s) in one.queues.items():
            _, flooded, last_us, first_us = decoder.since(outage.then, handle)
            if first_us == NO_TIME and outage.kept:
                mute = True
            elif not outage.kept or flooded or outage.seconds > held_s:
                after_us, before_us = bounded(last_us, first_us, outage.from_us, outage.to_us)
                if before_us > after_us:
                    spans.append((handle, after_us, before_us))
    return Unjudged(outage=outage, spans=tuple(spans), mute=mute)
