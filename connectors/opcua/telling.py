"""What an endpoint tells of itself: its state, what was covered and what not, and how it does."""

import logging
import time
from collections.abc import Callable
from typing import Final

from connectors.clock import ParkClock, wall_us
from connectors.opcua.config import EndpointConfig
from connectors.opcua.decode import Decoder
from connectors.opcua.events import Notifiers
from connectors.opcua.frozen import CAUSE, FrozenWatch
from connectors.opcua.ledger import Ledger
from connectors.opcua.monitor import Monitor
from connectors.opcua.pace import Pace
from connectors.opcua.publishing import Publisher
from connectors.opcua.report import EndpointState, EndpointStatus
from connectors.opcua.reverse import waiting_told
from connectors.opcua.rows import Rows
from connectors.opcua.session import Identity
from twin.samples import from_us

_log = logging.getLogger(__name__)

_SUSPICIOUS_OFFSET_S: Final = 60.0


class Telling:
    """State, coverage and status of one endpoint.

    Parameters
    ----------
    config
        The endpoint.
    coverage_s
        A coverage row at least this often [s].
    rows, decoder, pace, publisher, frozen_watch, notifiers
        Parts of the source that are told about.
    park_now
        Park clock.
    wake
        Called when coverage waits to be taken.
    covered_us
        Park time up to which an earlier process covered this endpoint [us]; None for a new one.
    """

    def __init__(
        self,
        config: EndpointConfig,
        coverage_s: float,
        *,
        rows: Rows,
        decoder: Decoder,
        pace: Pace,
        publisher: Publisher,
        frozen_watch: FrozenWatch,
        notifiers: Notifiers,
        park_now: ParkClock,
        wake: Callable[[], None],
        covered_us: int | None,
    ) -> None:
        self._config, self._coverage_s = config, coverage_s
        self._rows, self._decoder, self._pace = rows, decoder, pace
        self._publisher, self._frozen_watch, self._park_now = publisher, frozen_watch, park_now
        self._notifiers = notifiers
        self.state, self.cause = EndpointState.CONNECTING, ""
        self._since_us = wall_us()
        self.new = covered_us is None
        """Whether nothing was ever covered."""
        self.ledger = Ledger(config.id, park_now() if covered_us is None else covered_us, wake)
        self._told_at = 0.0
        self.heard_at = 0.0
        """When values or a keep-alive came last [monotonic s]."""
        self.heard_us = self.ledger.covered_us
        """Park time of that [us]."""
        self.answered_at = 0.0
        """When the server answered anything last [monotonic s]."""
        self.spoke = True
        """Whether this session sent anything since it was begun or taken up."""
        self.silence = (0.0, 0)
        """How long it was silent before it spoke last [s], and since which park time [us]."""
        self.monitor: Monitor | None = None
        self.identity: Identity | None = None
        self.remark = ""
        self.frozen = ""
        self.uncertain: frozenset[str] = frozenset()
        self.resumes = self.backfilled = self.polled = 0
        self._sessions = 0
        self._overflows_told = 0
        self._made_at = time.monotonic()

    # --- hearing ---

    def heard(self) -> None:
        """The server sent something."""
        now = time.monotonic()
        self.silence = (now - self.heard_at, self.sure_us)
        self.heard_at = self.answered_at = now
        self.heard_us = self._park_now()
        self.spoke = True

    @property
    def sure_us(self) -> int:
        """Park time up to which all values have come [us].

        What was sampled in the last interval before a message may lie in the next one.
        """
        monitor = self.monitor
        behind_ms = monitor.behind_ms if monitor is not None else 0.0
        return self.heard_us - round(behind_ms * 1000 * self.speed)

    @property
    def speed(self) -> float:
        """Pace of the park clock: at 60× a second on the way is a minute of park time."""
        return max(1.0, float(getattr(self._park_now, "speed", 1.0)))

    # --- state and coverage ---

    def enter(self, state: EndpointState, cause: str) -> None:
        """Stand there from now on."""
        if state is not self.state:
            self._since_us = wall_us()
            _log.info(
                "endpoint %s",
                state,
                extra={"endpoint": self._config.id, "state": str(state), "cause": cause},
            )
        self.state, self.cause = state, cause

    def connected(self) -> None:
        """Values count from here on: close the gap."""
        self.gap(final=True)
        self.heard_at = time.monotonic()
        self.heard_us = max(self._park_now(), self.ledger.covered_us)
        self._frozen_watch.connected()
        self._sessions += 1
        self.enter(EndpointState.CONNECTED, "")

    def went(self, cause: str) -> None:
        """The session is over, or did not begin: say up to when it was alive, and why not since."""
        if self.state is EndpointState.CONNECTED:
            self._dropped()
            self._cover(to_us=self.sure_us, alive=True, cause=self._alive_cause())
            self.ledger.gaps += 1
            self._told_at = 0.0
        if self.state is not EndpointState.QUARANTINED or not cause.startswith(self.cause):
            self.enter(EndpointState.OFFLINE, cause)
        self.gap()

    def stopped(self, cause: str) -> None:
        """The source is stopped: tell what was covered up to now."""
        self._dropped()
        if self.state is EndpointState.CONNECTED:
            self._cover(to_us=self.sure_us, alive=True)
        else:
            self._cover(to_us=self._park_now(), alive=False, cause=self.cause or cause)
        self.enter(EndpointState.OFFLINE, cause)

    def led(self, covered_us: int) -> None:
        """Tell what was covered from where the last leader stopped [us]."""
        self.new, self.cause = False, self.cause or "failover"
        self.ledger.covered_us = max(self.ledger.covered_us, covered_us)
        self.heard_us = covered_us
        self.ledger.take()

    def gap(self, *, final: bool = False) -> None:
        """Cover the time since the last row as a gap, now and then or at its end."""
        now = time.monotonic()
        if not final and now - self._told_at < self._coverage_s:
            return
        new, self.new = self.new, False
        if final and new and not self.cause:
            # A new endpoint that connects at once has no gap: it begins here.
            self.ledger.covered_us = max(self.ledger.covered_us, self._park_now())
            return
        self._cover(to_us=self._park_now(), alive=False, cause=self.cause or "connecting")
        self._told_at = now

    def alive(self, now: float, *, force: bool = False, cause: str = "") -> None:
        """Cover the time up to what is sure as alive, when it is due [monotonic s]."""
        self._dropped()
        if force or now - self._told_at >= self._coverage_s:
            self._cover(to_us=self.sure_us, alive=True, cause=cause or self._alive_cause())
            self._told_at = now

    def lost_message(self, cause: str) -> None:
        """What the server sent since the last row told cannot be vouched for."""
        self.ledger.gaps += 1
        self._cover(to_us=self.heard_us, alive=False, cause=cause)

    def froze(self, cause: str, now: float) -> None:
        """From now on it is frozen for this cause; it lives for an empty one."""
        watch = self._frozen_watch
        if bool(cause) != bool(self.frozen):
            # Up to now as it was; then the time in which it stood still already.
            self.alive(now, force=True)
            if cause:
                stood_us = round((now - watch.since) * 1e6 * self.speed)
                self.ledger.missed(self.heard_us - stood_us, self.ledger.covered_us, cause)
        self.frozen = cause

    def _alive_cause(self) -> str:
        if self.uncertain:
            return f"{CAUSE}: {', '.join(sorted(self.uncertain))}"
        if self._suggested_policy():
            return f"its clock is {(self._clock_offset_s() or 0.0) / 3600:+.2f} h off"
        return self.remark

    def _dropped(self) -> None:
        """Say which rows found no room in our own buffer."""
        dropped = self._rows.take_dropped()
        if not dropped.count:
            return
        self.ledger.gaps += 1
        self._cover(to_us=dropped.from_us, alive=True, cause=self._alive_cause())
        self._cover(
            to_us=max(dropped.to_us, dropped.from_us + 1),
            alive=False,
            cause="gateway buffer full",
            lost=dropped.count,
        )

    def _cover(self, *, to_us: int, alive: bool, cause: str = "", lost: int | None = None) -> None:
        """Append a coverage row up to a park time, and the server's own overflows to alive ones."""
        if alive and self.frozen:
            alive, cause = False, self.frozen
        if alive and self._decoder.overflows > self._overflows_told:
            lost = self._decoder.overflows - self._overflows_told
            self._overflows_told = self._decoder.overflows
            cause = cause or f"the server's queue overflowed {lost} times or more"
        self.ledger.cover(to_us, alive=alive, cause=cause, lost=lost)

    # --- status ---

    def status(self) -> EndpointStatus:
        """Where this endpoint stands."""
        now, monitor = time.monotonic(), self.monitor
        connected = self.state is EndpointState.CONNECTED
        rejected = {**self._decoder.unsupported, **self._notifiers.refused}
        if monitor is not None:
            rejected |= {r.item.node: r.reason for r in monitor.refused.values()}
        lag_us = self._pace.lag_us.value
        counts = self._publisher.counts
        return EndpointStatus(
            id=self._config.id,
            url=self._config.url,
            security=self._config.security,
            state=self.state,
            cause=self._hint() if connected else self._away(),
            since_us=self._since_us,
            requested=len(self._config.items),
            accepted=monitor.accepted if monitor is not None else self.polled * connected,
            delivering=self._decoder.delivering,
            values_per_s=self._pace.rate(now),
            lag_ms=None if lag_us is None else lag_us / 1000.0,
            clock_offset_s=self._clock_offset_s(),
            time_policy=self._config.time_policy,
            bridge_s=monitor.bridge_s if monitor is not None else None,
            gaps=self.ledger.gaps,
            lost=self.ledger.lost + self._rows.dropped.count,
            rejected=rejected,
            overflows=self._decoder.overflows,
            resumed=self.resumes,
            republished=counts.again,
            backfilled=self.backfilled,
            profile=self.identity.profile.name if self.identity is not None else "",
            bad=self._decoder.bad,
            values=self._decoder.taken,
            reconnects=max(0, self._sessions - 1),
            frozen=self._alive_cause() if self.uncertain else self.frozen,
            suggested_policy=self._suggested_policy(),
            last_gaps=tuple(dict(gap) for gap in self.ledger.recent),
        )

    def _away(self) -> str:
        """Why it is not connected."""
        told = waiting_told(self._config.url) if self._config.reverse else ""
        return self.cause if self.cause.startswith(told) else f"{told}; {self.cause}".rstrip("; ")

    def tag_counts(self) -> dict[int, dict[str, object]]:
        """How each tag does since the endpoint was started; plain values.

        ``values_per_s`` is a mean since then; ``refused`` says why the server sends nothing.
        """
        seconds = max(time.monotonic() - self._made_at, 1.0)
        refused = dict(self._decoder.unsupported)
        if self.monitor is not None:
            refused |= {r.item.node: r.reason for r in self.monitor.refused.values()}
        told: dict[int, dict[str, object]] = {}
        for handle, item in enumerate(self._config.items, start=1):
            values, bad, overflowed, last_us = self._decoder.counts(handle)
            told[item.tag] = {
                "values": values,
                "bad": bad,
                "overflowed": overflowed,
                "bad_share": bad / values if values else None,
                "values_per_s": values / seconds,
                "source_at": None if last_us is None else from_us(last_us).isoformat(),
                "refused": refused.get(item.node, ""),
            }
        return told

    def _clock_offset_s(self) -> float | None:
        """Offset of source times to park time; of the server's clock to ours while none moves."""
        if len(self._pace.source_offset_us) >= 3:
            offset_us = self._pace.source_offset_us.value
        else:
            offset_us = self._pace.server_offset_us.value
        return None if offset_us is None else offset_us / 1e6

    def _suggested_policy(self) -> str:
        """A source clock that is far off: the server's if that is right, else our own."""
        offset_s, most_s = self._clock_offset_s(), _SUSPICIOUS_OFFSET_S * self.speed
        wrong = offset_s is not None and abs(offset_s) > most_s
        server_us = self._pace.server_offset_us.value
        if self._config.time_policy == "source" and wrong:
            # In a demo the server's clock is ours, and not the park's.
            right = server_us is not None and abs(server_us) <= most_s * 1e6 and most_s <= 60.0
            return "server" if right else "receive"
        server_wrong = server_us is not None and abs(server_us) > _SUSPICIOUS_OFFSET_S * 1e6
        return "receive" if self._config.time_policy == "server" and server_wrong else ""

    def _hint(self) -> str:
        """What is remarkable about a connected endpoint, and what to do."""
        hints = [self.remark] if self.remark else []
        hints += self._frozen_watch.hints
        if policy := self._suggested_policy():
            offset_s = self._clock_offset_s() or 0.0
            hints.append(
                f"its clock is {offset_s / 3600:+.2f} h off: correct it, or set time_policy "
                f"{policy}"
            )
        if self._pace.jumps:
            hints.append(f"the server's clock jumped {self._pace.jumps} times: is it synchronised?")
        if self._publisher.counts.storms:
            hints.append("the server floods us with empty keep-alives: look at its settings")
        if self._publisher.stalled:
            hints.append("our buffer is full: the server's queues hold the values for now")
        if self.monitor is not None:
            hints += _granted_less(self.monitor)
        return "; ".join(hints)


def _granted_less(monitor: Monitor) -> list[str]:
    """What the server did not grant as it was asked."""
    hints = []
    if monitor.short_queues:
        hints.append(
            f"the server gave {monitor.short_queues} items a queue shorter than one publishing "
            "interval: publish more often or sample less"
        )
    if monitor.slower:
        hints.append(monitor.slower)
    if monitor.plain:
        hints.append(f"{len(monitor.plain)} items have no deadband: the server cannot")
    return hints


def is_open_state(state: EndpointState) -> bool:
    """Whether values count in this state."""
    return state is EndpointState.CONNECTED
