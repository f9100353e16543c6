"""The alarm desk of a park: rules, conditions of servers, causes, people's commands, what is told.

An effect's id follows from the alarm and the park time it happened at, so a replay tells nothing
twice. What is suppressed by its cause is not told; when the cause goes and it still holds, it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from models.errors import InputError, NotFound
from twin.alarm_record import AlarmRecord
from twin.alarms import Alarm, AlarmState, Priority
from twin.conditions import (
    PREFIX,
    ConditionState,
    OnlyThese,
    alarm_id,
    label_of,
    priority_of,
    read_rows,
    record_of,
    tag_of,
)
from twin.effects import Effect
from twin.figure_specs import FigureLayout
from twin.figures import Now
from twin.label import Label
from twin.park import Park
from twin.tags import Kind, TagDictionary
from twin.view import View
from twin.watch import Turned, Watch

MAX_SHELVE_MIN: Final = 8 * 60.0
HISTORY_KEPT: Final = 2000
FLOOD_WINDOW_US: Final = 600_000_000
FLOOD_ALARMS: Final = 10
"""A flood is more than this many alarms in 10 minutes (ISA-18.2)."""
_RANK: Final = {Priority.LOW: 1, Priority.MEDIUM: 2, Priority.HIGH: 3, Priority.CRITICAL: 4}
_COUNTED: Final = (
    AlarmState.UNACKNOWLEDGED,
    AlarmState.ACKNOWLEDGED,
    AlarmState.RETURNED_UNACKNOWLEDGED,
)


class AlarmDesk:
    """All alarms of one park."""

    def __init__(self, park: Park, layout: FigureLayout) -> None:
        self.park = park
        self._records: dict[str, AlarmRecord] = {}
        self._history: list[Alarm] = []
        self._raised_us: list[int] = []
        self._flood = False
        self._kept_watches: dict[str, list[list[object]]] = {}
        self._wire(park, layout, TagDictionary())

    def learn(self, park: Park, layout: FigureLayout, dictionary: TagDictionary) -> None:
        """Take new rules and tags; alarms whose rule or asset is gone return at the next tick."""
        self._kept_watches |= self._watch_state()
        self._wire(park, layout, dictionary)
        self._kept_watches = {}

    def tick(self, view: View, now: Now) -> list[Effect]:
        """Compare all rules with the values, follow causes and shelving."""
        effects = list(self._drop_orphans(now.now_us))
        for watch in self._watches:
            for turned in watch.look(view, now):
                effects += self._turn(watch, turned, now.now_us)
        effects += self._unshelve(now.now_us)
        effects += self._follow_causes(now.now_us)
        effects += self._watch_rate(now.now_us)
        self._sweep()
        return effects

    def happened(self, rows: pa.RecordBatch, now_us: int) -> list[Effect]:
        """Take what rows of event tags say of the conditions of servers (`twin.conditions`)."""
        effects: list[Effect] = []
        for told in read_rows(rows):
            if told.tag not in self._notifiers:
                continue
            if isinstance(told, OnlyThese):
                effects += self._let_go(told, now_us)
            else:
                effects += self._condition(told, now_us)
        self._sweep()
        return effects

    def command(self, data: Mapping[str, object], now_us: int) -> list[Effect]:
        """Obey a command of a person.

        ``{"alarm": "acknowledge" | "shelve" | "out_of_service" | "in_service", "ids": [...],
        "by": name, "note": text, "minutes": number}``; `minutes` 0 ends a shelving. A command
        without ``alarm`` is not for us.

        Raises
        ------
        InputError
            When it names no known alarm, nobody, no reason or no sensible time; nothing changed.
        """
        verb = data.get("alarm")
        if verb is None:
            return []
        obey = _VERBS.get(str(verb))
        if obey is None:
            raise InputError(f"no alarm command {verb!r}", f"known: {', '.join(_VERBS)}", "alarm")
        by, note = str(data.get("by") or "").strip(), str(data.get("note") or "").strip()
        if not by:
            raise InputError("nobody is named", "say who does it", "by")
        records = self._named(data.get("ids"))
        minutes = _minutes(data.get("minutes", 0.0))
        if verb != "acknowledge" and not note and not (verb == "shelve" and minutes == 0.0):
            raise InputError("no reason is given", "say why", "note")
        effects = [e for r in records for e in obey(self, r, by, note, minutes, now_us)]
        self._sweep()
        return effects

    def alarms(self, *, history: bool = False) -> tuple[Alarm, ...]:
        """Unresolved alarms, the worst and newest first; with `history` the ended ones after."""
        live = sorted(
            self._records.values(), key=lambda r: (-_RANK[r.priority], -r.raised_us, r.id)
        )
        shown = tuple(record.shown() for record in live)
        return (*shown, *reversed(self._history)) if history else shown

    def counts(self) -> dict[str, int]:
        """Unresolved alarms by priority, and ``unacknowledged``; without shelved and suppressed."""
        found = dict.fromkeys((*Priority, "unacknowledged"), 0)
        for record in self._records.values():
            state = record.state()
            if state in _COUNTED:
                found[record.priority] += 1
                found["unacknowledged"] += state is not AlarmState.ACKNOWLEDGED
        return {str(name): count for name, count in found.items()}

    def worst(self, site: str) -> int:
        """Worst priority of the active alarms at a site: 0 none … 4 critical."""
        return max(
            (
                _RANK[record.priority]
                for record in self._records.values()
                if record.active
                and record.state() in _COUNTED
                and (record.asset == site or record.asset.startswith(f"{site}/"))
            ),
            default=0,
        )

    @property
    def rate_10_min(self) -> int:
        """Alarms told in the last 10 minutes."""
        return len(self._raised_us)

    @property
    def flood(self) -> bool:
        """Whether that is a flood."""
        return self._flood

    def snapshot(self) -> dict[str, object]:
        """Plain data."""
        return {
            "records": [record.as_dict() for record in self._records.values()],
            "history": [_alarm_dict(alarm) for alarm in self._history],
            "raised": list(self._raised_us),
            "flood": self._flood,
            "watches": self._watch_state(),
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Inverse of `snapshot`; an empty mapping is the state at birth."""
        records = [AlarmRecord.from_dict(row) for row in data.get("records", ())]
        self._records = {record.id: record for record in records}
        self._history = [_alarm_of(row) for row in data.get("history", ())]
        self._raised_us = list(data.get("raised", ()))
        self._flood = bool(data.get("flood", False))
        self._kept_watches = dict(data.get("watches", {}))
        for watch in self._watches:
            watch.restore(self._kept_watches.get(watch.rule.id, []))

    def _wire(self, park: Park, layout: FigureLayout, dictionary: TagDictionary) -> None:
        self.park = park
        self._watches = [Watch(rule, park, layout) for rule in park.spec.rules]
        for watch in self._watches:
            watch.restore(self._kept_watches.get(watch.rule.id, []))
        endpoint_of = {r.binding.path: r.binding.endpoint for r in dictionary.open.values()}
        self._fed_by: dict[str, frozenset[str]] = {}
        for watch in self._watches:
            for asset, paths in zip(watch.assets, watch.inputs(park, layout), strict=True):
                sources = frozenset(endpoint_of.get(path, "") for path in paths)
                self._fed_by[f"{watch.rule.id}@{asset}"] = sources
        self._notifiers = {
            tag: row.binding.endpoint
            for tag, row in dictionary.open.items()
            if row.binding.kind is Kind.EVENT and row.binding.endpoint
        }
        for id_ in self._records:
            if (tag := tag_of(id_)) in self._notifiers and tag is not None:
                self._fed_by[id_] = frozenset((self._notifiers[tag],))
        # What is wrong with an endpoint that lives is no cause of what its tags tell.
        self._deaths = {
            watch.rule.id
            for watch in self._watches
            if (watch.condition.type, watch.condition.name) == ("endpoint", "alive")
        }
        self._tags_of: dict[str, int] = {}
        for endpoint in endpoint_of.values():
            self._tags_of[endpoint] = self._tags_of.get(endpoint, 0) + 1
        self._order = {rule.id: place for place, rule in enumerate(park.spec.rules)}

    def _watch_state(self) -> dict[str, list[list[object]]]:
        return {watch.rule.id: watch.snapshot() for watch in self._watches}

    def _turn(self, watch: Watch, turned: Turned, now_us: int) -> Iterator[Effect]:
        """A condition began or ended to hold."""
        id_ = f"{watch.rule.id}@{watch.assets[turned.place]}"
        if turned.holds:
            yield from self._began(self._raised(watch, turned, id_, now_us), now_us)
        elif id_ in self._records:
            yield from self._ended(self._records[id_], now_us, now_us)

    def _condition(self, told: ConditionState, now_us: int) -> Iterator[Effect]:
        """A server's condition began, ended or changed; told again it changes nothing."""
        endpoint = self._notifiers[told.tag]
        at_us = min(told.at_us, now_us)
        before = self._records.get(alarm_id(told.tag, told.state.key, endpoint))
        if not told.state.stands:
            if before is not None:
                yield from self._ended(before, at_us, now_us)
        elif before is not None and before.active:
            before.label, before.priority = label_of(told.state), priority_of(told.severity)
            before.value = float(told.severity)
        else:
            record = record_of(told, endpoint, at_us)
            self._fed_by[record.id] = frozenset((endpoint,))
            yield from self._began(record, now_us)

    def _let_go(self, told: OnlyThese, now_us: int) -> Iterator[Effect]:
        """Conditions of a notifier that its server no longer names stand no more."""
        endpoint = self._notifiers[told.tag]
        still = {alarm_id(told.tag, key, endpoint) for key in told.keys}
        for record in list(self._records.values()):
            if tag_of(record.id) == told.tag and record.id not in still:
                yield from self._ended(record, min(told.at_us, now_us), now_us)

    def _began(self, record: AlarmRecord, now_us: int) -> Iterator[Effect]:
        """Open a record, or reopen one that had returned; shelving and service stay with it."""
        before = self._records.get(record.id)
        if before is not None:
            self._history.append(before.shown())
            record.shelved_until_us = before.shelved_until_us
            record.out_of_service = before.out_of_service
        self._records[record.id] = record
        cause = self._cause_of(record, self._able())
        if cause is None:
            yield from self._announce(record, now_us)
        else:
            record.cause = cause
            yield self._effect("suppressed", record, now_us, cause=cause)

    def _ended(self, record: AlarmRecord, at_us: int, now_us: int) -> Iterator[Effect]:
        """What a record is about holds no more, since a time."""
        if not record.active:
            return
        record.active, record.returned_us = False, max(at_us, record.raised_us)
        if not record.announced:
            record.acknowledged_us = now_us
            record.acknowledged_by = record.cause
        yield self._effect("returned", record, now_us)

    def _raised(self, watch: Watch, turned: Turned, id_: str, now_us: int) -> AlarmRecord:
        """A new alarm of a rule."""
        asset = watch.assets[turned.place]
        is_endpoint = watch.condition.type == "endpoint"
        return AlarmRecord(
            id=id_,
            rule=watch.rule.id,
            asset=asset,
            label=Label(vi=watch.rule.label.vi, en=watch.rule.label.en),
            priority=Priority(watch.rule.priority),
            active=True,
            raised_us=now_us,
            value=turned.value,
            limit=turned.limit,
            unit=watch.unit,
            group=_group_of(watch, asset),
            members=max(1, self._tags_of.get(asset, 0)) if is_endpoint else 1,
        )

    def _announce(self, record: AlarmRecord, now_us: int) -> Iterator[Effect]:
        """Tell people, unless somebody put the alarm aside."""
        if record.announced or record.shelved_until_us is not None or record.out_of_service:
            return
        record.announced = True
        self._raised_us.append(now_us)
        yield self._effect("raised", record, record.raised_us)

    def _able(self) -> list[AlarmRecord]:
        """Active alarms that others may follow from: those of rules.

        Servers may have thousands of conditions; each looked at for each would be millions.
        """
        return [r for r in self._records.values() if r.active and not r.rule.startswith(PREFIX)]

    def _cause_of(self, record: AlarmRecord, able: Iterable[AlarmRecord]) -> str | None:
        """The active alarm this one follows from: its dead endpoint, or an earlier rule's."""
        sources = self._fed_by.get(record.id, frozenset())
        order = self._order.get(record.rule, 0)
        for other in able:
            if other.id == record.id or other.cause:
                continue
            if other.rule in self._deaths:
                if sources == {other.asset} or record.group == other.group:
                    return other.id
            elif (
                record.group
                and other.group == record.group
                and self._order.get(other.rule, 0) < order
                and _above(other.asset, record.asset)
            ):
                return other.id
        return None

    def _follow_causes(self, now_us: int) -> Iterator[Effect]:
        """Suppress what has a cause now; tell what lost its cause and still holds."""
        able = self._able()
        for record in self._records.values():
            if not record.active:
                continue
            cause = self._cause_of(record, able) or ""
            if cause == record.cause:
                continue
            record.cause = cause
            if cause:
                yield self._effect("suppressed", record, now_us, cause=cause)
            elif not record.announced:
                yield from self._announce(record, now_us)

    def _drop_orphans(self, now_us: int) -> Iterator[Effect]:
        """Alarms whose rule or asset is gone hold no more; people still have to see them."""
        for record in self._records.values():
            if record.active and record.id not in self._fed_by:
                record.active, record.returned_us = False, now_us
                yield self._effect("returned", record, now_us)

    def _unshelve(self, now_us: int) -> Iterator[Effect]:
        for record in self._records.values():
            until = record.shelved_until_us
            if until is not None and until <= now_us:
                record.shelved_until_us = None
                yield self._effect("unshelved", record, until)
                if record.active and not record.cause:
                    yield from self._announce(record, now_us)

    def _watch_rate(self, now_us: int) -> Iterator[Effect]:
        self._raised_us = [at for at in self._raised_us if at > now_us - FLOOD_WINDOW_US]
        flood = len(self._raised_us) > FLOOD_ALARMS
        if flood != self._flood:
            self._flood = flood
            kind = "alarm.flood_began" if flood else "alarm.flood_ended"
            yield Effect(
                id=f"{self.park.id}/{kind}/{now_us}",
                at_us=now_us,
                kind=kind,
                data={"in_10_min": len(self._raised_us)},
            )

    def _sweep(self) -> None:
        """Move ended alarms to the history."""
        for id_, record in list(self._records.items()):
            if record.ended:
                self._history.append(record.shown())
                del self._records[id_]
        del self._history[:-HISTORY_KEPT]

    def _named(self, ids: object) -> list[AlarmRecord]:
        if not isinstance(ids, list | tuple) or not ids:
            raise InputError("no alarm is named", "list their ids", "ids")
        for id_ in ids:
            if not isinstance(id_, str) or id_ not in self._records:
                raise NotFound("alarm", str(id_), tuple(self._records))
        return [self._records[id_] for id_ in dict.fromkeys(ids)]

    def _acknowledge(
        self, record: AlarmRecord, by: str, note: str, minutes: float, now_us: int
    ) -> Iterator[Effect]:
        del minutes
        if record.acknowledged_us is not None:
            return
        record.acknowledged_us, record.acknowledged_by, record.note = now_us, by, note
        yield self._effect("acknowledged", record, now_us, by=by, note=note)

    def _shelve(
        self, record: AlarmRecord, by: str, note: str, minutes: float, now_us: int
    ) -> Iterator[Effect]:
        if minutes == 0.0:
            if record.shelved_until_us is not None:
                record.shelved_until_us = None
                yield self._effect("unshelved", record, now_us, by=by)
            return
        record.shelved_until_us = now_us + round(minutes * 60e6)
        record.note = note
        yield self._effect("shelved", record, now_us, by=by, note=note, minutes=minutes)

    def _out_of_service(
        self, record: AlarmRecord, by: str, note: str, minutes: float, now_us: int
    ) -> Iterator[Effect]:
        del minutes
        record.out_of_service, record.note = by, note
        yield self._effect("out_of_service", record, now_us, by=by, note=note)

    def _in_service(
        self, record: AlarmRecord, by: str, note: str, minutes: float, now_us: int
    ) -> Iterator[Effect]:
        del minutes
        if not record.out_of_service:
            return
        record.out_of_service, record.note = "", note
        yield self._effect("in_service", record, now_us, by=by, note=note)
        if record.active and not record.cause:
            yield from self._announce(record, now_us)

    def _effect(self, what: str, record: AlarmRecord, at_us: int, **more: str | float) -> Effect:
        return Effect(
            id=f"{self.park.id}/{record.id}/{record.raised_us}/{what}/{at_us}",
            at_us=at_us,
            kind=f"alarm.{what}",
            data={
                "alarm": record.id,
                "asset": record.asset,
                "priority": str(record.priority),
                "value": record.value,
                "limit": record.limit,
                **more,
            },
        )


_Obey = Callable[[AlarmDesk, AlarmRecord, str, str, float, int], Iterator[Effect]]
_VERBS: Final[Mapping[str, _Obey]] = {
    "acknowledge": AlarmDesk._acknowledge,
    "shelve": AlarmDesk._shelve,
    "out_of_service": AlarmDesk._out_of_service,
    "in_service": AlarmDesk._in_service,
}


def _group_of(watch: Watch, asset: str) -> str:
    """Cause group of an alarm: each endpoint has its own.

    A certificate that expires is no consequence of a frozen device: only what says whether an
    endpoint is heard, and heard rightly, shares one group whatever the rules call it.
    """
    group = watch.rule.group
    if watch.condition.type != "endpoint":
        return group
    heard = watch.condition.name in ("alive", "trouble")
    return f"{'endpoint' if heard or not group else group}:{asset}"


def _above(cause: str, asset: str) -> bool:
    """Whether a cause's asset is the park, the asset itself, or above it."""
    return cause in ("", asset) or asset.startswith(f"{cause}/")


def _minutes(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InputError(f"{given!r} minutes", "write a number", "minutes")
    minutes = float(given)
    if not 0.0 <= minutes <= MAX_SHELVE_MIN:
        raise InputError(
            f"{minutes:g} minutes", f"an alarm is shelved for at most {MAX_SHELVE_MIN:g}", "minutes"
        )
    return minutes


def _alarm_dict(alarm: Alarm) -> dict[str, object]:
    data = {name: getattr(alarm, name) for name in Alarm.__slots__}
    return {**data, "label": {"vi": alarm.label.vi, "en": alarm.label.en}}


def _alarm_of(row: Mapping[str, Any]) -> Alarm:
    kept = dict(row)
    kept["label"] = Label(**kept["label"])
    kept["priority"], kept["state"] = Priority(kept["priority"]), AlarmState(kept["state"])
    return Alarm(**kept)
