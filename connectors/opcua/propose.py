"""Proposed mappings for what was browsed; the judgement is `connectors.onboarding.match`'s."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from connectors.onboarding.match import Match, Matcher
from connectors.onboarding.seen import seen_of
from connectors.opcua.report import BrowsedNode
from twin.park import Park


def propose(nodes: Iterable[BrowsedNode], park: Park) -> tuple[Match, ...]:
    """Best tag for each variable, each tag at most once, the most certain first.

    Parameters
    ----------
    nodes
        Browsed nodes; only variables of a number type are looked at. Nodes that are mapped already
        are left out.
    park
        Park whose unmapped tags are candidates.
    """
    return Matcher(park).match([seen_of(node) for node in nodes])


def with_proposals(nodes: Sequence[BrowsedNode], park: Park) -> tuple[BrowsedNode, ...]:
    """The nodes with their proposal, confidence and reason filled in."""
    found = {match.node: match for match in propose(nodes, park)}
    return tuple(
        replace(node, proposal=m.path, confidence=m.confidence, why=m.why)
        if (m := found.get(node.node)) is not None
        else node
        for node in nodes
    )
