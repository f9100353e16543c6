"""Which asset of the park a path in an address space speaks of."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.onboarding.words import (
    MAIN_METER,
    METERING,
    PLACE_WORDS,
    TYPE_OF_PLACE,
    Key,
    keys,
    terms,
    words,
)
from twin.park import AssetNode, Park

_NUMBERED: Final = 2.0
_PLACE_ONLY: Final = 0.35
_WEAK_NUMBER: Final = 0.85
"""A machine known by its kind and number alone (``M01`` for ``ep01``)."""
_LEAST: Final = 0.45
_UNEXPLAINED_WORD: Final = 0.75
_UNEXPLAINED_NUMBER: Final = 0.25
_CONTRADICTED: Final = 0.02
_SPARE: Final = 0.05
_ANCESTORS: Final = 0.25
"""Share of the evidence that the names of an asset's ancestors give."""
_SPARE_CONCEPTS: Final = frozenset({"!SPARE", "!FAULT"})
_PLACES: Final = frozenset(TYPE_OF_PLACE)


@dataclass(frozen=True, slots=True)
class Place:
    """An asset a path may speak of.

    Parameters
    ----------
    asset
        Its id.
    score
        0 to 1.
    rank
        The same for comparing it with other assets: one without parents has no part of the score
        for free.
    said
        The words that named it.
    own
        Words of the path that its names explain.
    used
        Words of the last step that named it, by position.
    against
        Codes and words that spoke against it.
    """

    asset: str
    score: float
    rank: float
    said: str
    own: frozenset[str]
    used: frozenset[int]
    against: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Name:
    """One name of an asset as keys with weights."""

    weights: Mapping[Key, float]
    factor: float = 1.0

    @property
    def total(self) -> float:
        return sum(self.weights.values())


class Places:
    """The assets of a park, by the words they are known by.

    Parameters
    ----------
    park
        The park.
    types
        Asset types that have tags.
    """

    def __init__(self, park: Park, types: Iterable[str]) -> None:
        wanted = frozenset(types)
        self._park = park
        self._names = {a.id: _names_of(a) for a in park.assets.values()}
        self._numbers = {a.id: self._chain_numbers(a) for a in park.assets.values()}
        self._words = {a.id: _words_of(a) for a in park.assets.values()}
        self._by_key: dict[Key, set[str]] = defaultdict(set)
        for asset in park.assets.values():
            if asset.type in wanted:
                for name in self._names[asset.id]:
                    for key in name.weights:
                        if key.number or key.word not in _PLACES or asset.type == "weather":
                            self._by_key[key].add(asset.id)
        sites = park.of_type("site")
        self._only_site = sites[0].id if len(sites) == 1 else ""
        self._memory: dict[tuple[tuple[str, ...], ...], tuple[Place, ...]] = {}

    def of(self, steps: Sequence[str]) -> tuple[Place, ...]:
        """Assets that steps of a path may speak of, the last step being the variable's own name.

        Parameters
        ----------
        steps
            Names from the outside in.
        """
        found = tuple(words(step) for step in steps)
        known = self._memory.get(found)
        if known is None:
            known = self._memory[found] = self._places(found)
        return known

    def _places(self, steps: tuple[tuple[str, ...], ...]) -> tuple[Place, ...]:
        parsed = [keys(step) for step in steps]
        here = {key for step in parsed for key, _, _ in step}
        near: set[str] = set()
        for key in here:
            near |= self._by_key.get(key, set())
        spare = _spare(steps[:-1])
        found = [p for asset in near if (p := self._place(asset, steps, parsed, spare)) is not None]
        meter = self._main_meter(steps, spare)
        if meter is not None and all(
            p.asset != meter.asset or p.score < meter.score for p in found
        ):
            found = [p for p in found if p.asset != meter.asset] + [meter]
        return tuple(sorted(found, key=lambda place: (-place.score, place.asset)))

    def _place(
        self,
        asset: str,
        steps: Sequence[tuple[str, ...]],
        parsed: Sequence[tuple[tuple[Key, int, int], ...]],
        spare: str,
    ) -> Place | None:
        best: tuple[float, int, frozenset[Key]] = (0.0, -1, frozenset())
        for depth, step in enumerate(parsed):
            present = {key for key, _, _ in step}
            for name in self._names[asset]:
                common = frozenset(name.weights) & present
                score = name.factor * sum(name.weights[k] for k in common) / name.total
                if score > best[0] or (score == best[0] and score and depth > best[1]):
                    best = (score, depth, common)
        own, depth, common = best
        if own < _LEAST:
            return None
        against: list[tuple[str, str]] = []
        above = self._above(asset, parsed)
        score = own * (1.0 - _ANCESTORS + _ANCESTORS * (1.0 if above is None else above))
        rank = own * (1.0 - _ANCESTORS + _ANCESTORS * (above or 0.0))
        clash = self._contradiction(asset, parsed)
        weight = 1.0
        if clash:
            weight *= _CONTRADICTED
            against.append(("asset.contradicted", clash))
        factor, below = self._below(asset, steps, parsed, depth)
        weight *= factor
        against.extend(("path.unexplained", word) for word in below)
        if spare:
            weight *= _SPARE
            against.append(("path.spare", spare))
        used = frozenset(
            n
            for key, first, stop in parsed[-1]
            if depth == len(steps) - 1 and (key in common or self._explains(asset, key))
            for n in range(first, stop)
        )
        said = ", ".join(sorted(map(str, common)))
        words_known = self._chain_words(asset)
        return Place(asset, score * weight, rank * weight, said, words_known, used, tuple(against))

    def _above(
        self, asset: str, parsed: Sequence[tuple[tuple[Key, int, int], ...]]
    ) -> float | None:
        """How much of the ancestors' names the path holds; None when there are no ancestors."""
        present = {key for step in parsed for key, _, _ in step}
        scores: list[float] = []
        node = self._park.assets[asset]
        while node.parent:
            node = self._park.assets[node.parent]
            scores.append(
                max(
                    n.factor * sum(w for k, w in n.weights.items() if k in present) / n.total
                    for n in self._names[node.id]
                )
            )
        if not scores:
            return None
        weights = [0.6, 0.25, 0.15][: len(scores)]
        return sum(w * min(1.0, s) for w, s in zip(weights, scores, strict=False)) / sum(weights)

    def _contradiction(self, asset: str, parsed: Sequence[tuple[tuple[Key, int, int], ...]]) -> str:
        """A key of the path with another number than this asset's or its ancestors' own."""
        mine = self._numbers[asset]
        for step in parsed:
            covered: dict[tuple[int, int], list[Key]] = defaultdict(list)
            for key, first, stop in step:
                if key.number:
                    covered[first, stop].append(key)
            for alternatives in covered.values():
                if any(key.number in mine.get(key.word, ()) for key in alternatives):
                    continue
                for key in alternatives:
                    if key.word in mine:
                        return str(key)
        return ""

    def _below(
        self,
        asset: str,
        steps: Sequence[tuple[str, ...]],
        parsed: Sequence[tuple[tuple[Key, int, int], ...]],
        depth: int,
    ) -> tuple[float, list[str]]:
        """What stands between the asset's step and the variable, if it says another place."""
        factor, left = 1.0, []
        for level in range(depth, len(steps) - 1):
            explained = {
                n
                for key, first, stop in parsed[level]
                if self._explains(asset, key)
                for n in range(first, stop)
            }
            for n, word in enumerate(steps[level]):
                if n in explained or word in METERING or word in self._chain_words(asset):
                    continue
                factor *= _UNEXPLAINED_NUMBER if word.isdigit() else _UNEXPLAINED_WORD
                left.append(word)
        return factor, left

    def _explains(self, asset: str, key: Key) -> bool:
        return bool(key.number) and key.number in self._numbers[asset].get(key.word, ())

    def _main_meter(self, steps: Sequence[tuple[str, ...]], spare: str) -> Place | None:
        """The site of a park that has one, when a folder is its main meter."""
        if not self._only_site or spare:
            return None
        for step in steps[:-1]:
            said = [word for word in step if word in MAIN_METER]
            if said and all(w in METERING or w in MAIN_METER or w.isdigit() for w in step):
                if steps[-2] != step:
                    continue
                return Place(
                    self._only_site, 0.88, 0.88, " ".join(step), frozenset(step), frozenset()
                )
        return None

    def _chain_numbers(self, asset: AssetNode) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        node: AssetNode | None = asset
        while node is not None:
            for name in self._names.get(node.id) or _names_of(node):
                for key in name.weights:
                    if key.number:
                        found[key.word].add(key.number)
            node = self._park.assets.get(node.parent) if node.parent else None
        return {word: frozenset(numbers) for word, numbers in found.items()}

    def _chain_words(self, asset: str) -> frozenset[str]:
        node = self._park.assets[asset]
        found = self._words[asset]
        while node.parent:
            node = self._park.assets[node.parent]
            found |= self._words[node.id]
        return found


def _names_of(asset: AssetNode) -> tuple[_Name, ...]:
    own = asset.id.rpartition("/")[2]
    names = [_name(words(own)), _name(words(asset.label.vi)), _name(words(asset.label.en))]
    number = next((w for w in reversed(words(own)) if w.isdigit()), "")
    place = next((p for p, t in TYPE_OF_PLACE.items() if t == asset.type), "")
    if number and place:
        names.append(_Name({Key(place, number): _NUMBERED}, _WEAK_NUMBER))
    return tuple(name for name in names if name.weights)


def _name(found: tuple[str, ...]) -> _Name:
    weights: dict[Key, float] = {}
    for key, _, _ in keys(found):
        if key.number:
            weights[key] = _NUMBERED
        elif key.word in _PLACES or key.word in METERING:
            weights[key] = _PLACE_ONLY
        elif not key.word.isdigit():
            weights[key] = 1.0
    return _Name(_one_per_span(found, weights))


def _one_per_span(found: tuple[str, ...], weights: Mapping[Key, float]) -> dict[Key, float]:
    """Of a word and the kind of place it is, both told for one span, half the weight each."""
    spans: dict[tuple[int, int], list[Key]] = defaultdict(list)
    for key, first, stop in keys(found):
        if key in weights:
            spans[first, stop].append(key)
    out: dict[Key, float] = {}
    for members in spans.values():
        for key in dict.fromkeys(members):
            out[key] = max(out.get(key, 0.0), weights[key] / len(dict.fromkeys(members)))
    return out


def _words_of(asset: AssetNode) -> frozenset[str]:
    own = asset.id.rpartition("/")[2]
    found = {*words(own), *words(asset.label.vi), *words(asset.label.en)}
    return frozenset(w for w in found if not w.isdigit()) | PLACE_WORDS.get(asset.type, frozenset())


def _spare(steps: Sequence[tuple[str, ...]]) -> str:
    """A folder that is no part of the plant: tests, spares, diagnostics, the PLC itself."""
    for step in steps:
        found = terms(step)
        for term in found:
            if term.concept in _SPARE_CONCEPTS:
                return term.said
        if found and all(term.concept == "!SYSTEM" for term in found):
            return " ".join(step)
    return ""


def share(scores: Sequence[float], at: int, power: float = 8.0) -> float:
    """Share of one score among all, sharpened: 1 when it stands alone, 1/2 between two equals."""
    total = math.fsum(s**power for s in scores)
    return scores[at] ** power / total if total > 0 else 0.0
