"""What is true in a park now: every live figure, computed from the twin's state at once.

A figure is a measurement, something derived from measurements, or holds an estimate; `Now` tells
for each how good it is and how much of it is measured. Nothing is invented silently: a missing
meter is replaced by an estimate only where a total needs it, and lowers `measured`.
"""

from typing import Final

import numpy as np

from twin.estimate import Estimates
from twin.figure_specs import FigureLayout, layout_of
from twin.figures import FigureSpec, Now
from twin.flow_now import FlowNow
from twin.fold import COUNTER
from twin.marks import QUARTER_US, Mark, Marks, Window
from twin.moment import HOUR_S, Moment, Page
from twin.output_now import OutputNow
from twin.park import Park
from twin.park_arrays import ParkArrays
from twin.power_now import PowerNow, grid_kwh
from twin.price_clock import PriceClock
from twin.shifts import DAY_US, LocalTime
from twin.state import ShardState, Totals
from twin.tags import TagDictionary
from twin.view import Atlas, View, atlas_of
from twin.working_hours import WorkingHours

TURN_WINDOW_US: Final = 3_600_000_000
TURNS_KEPT: Final = 2000
_WHOLE_S: Final = 0.9 * QUARTER_US / 1e6
"""Shorter than this it is no quarter hour: the mean of ten seconds is no peak of a bill."""


class FigureBook:
    """The figures of one park.

    Parameters
    ----------
    park
        The park.
    year
        Year whose emission factor the lineage names.
    """

    def __init__(self, park: Park, year: int) -> None:
        self.park = park
        self.layout: FigureLayout = layout_of(park, year)
        self.hours = WorkingHours(park)
        self._local = LocalTime(park.tz)
        self.estimates = Estimates(park)
        self._arrays = ParkArrays(park)
        self._clock = PriceClock(park)
        self._atlas: Atlas | None = None
        self._state: ShardState | None = None
        self._dictionary = TagDictionary()

    @property
    def specs(self) -> tuple[FigureSpec, ...]:
        """The figures in the order of `Now`."""
        return self.layout.specs

    def learn(self, dictionary: TagDictionary) -> None:
        """Look for the tags again before the next figures."""
        self._dictionary, self._atlas = dictionary, None

    def atlas(self, state: ShardState) -> Atlas:
        """Where the tags stand in this state."""
        if self._atlas is None or self._state is not state:
            self._atlas, self._state = atlas_of(self.park, self._dictionary, state), state
        return self._atlas

    def advance(self, state: ShardState, totals: Totals, marks: Marks, now_us: int) -> Mark:
        """Settle the marks, set those that are due, and close the quarter hours that ended.

        Returns
        -------
        Mark
            The sums now, for `compute`.
        """
        atlas = self.atlas(state)
        now = Mark.take(state, totals, atlas.kept, now_us)
        marks.follow(atlas.tags, now)
        marks.settle(now, state.kind[atlas.kept] == COUNTER)
        if marks.quarter_due(now_us):
            if marks.quarters:
                self._close_quarter(atlas, Window.between(marks.quarters[-1], now), marks)
            marks.add_quarter(now)
        today = self._local.day(now_us)
        if marks.day != today:
            marks.start_day(today, now)
        self._note_turns(View(atlas, state), marks, now_us)
        marks.connections.look(state, now_us)
        return now

    def compute(self, state: ShardState, marks: Marks, mark: Mark, now_us: int) -> Now:
        """Compute all figures.

        Parameters
        ----------
        state
            Newest values.
        marks, mark
            Marks of the past, and the sums now, as `advance` returned them.
        now_us
            Park time [us].
        """
        page = Page(self.layout, now_us)
        moment = Moment(
            view=View(self.atlas(state), state),
            marks=marks,
            mark=mark,
            arrays=self._arrays,
            page=page,
            min_good=self.park.spec.kpis.min_good,
            midnight_us=self._midnight_us(now_us),
        )
        FlowNow(moment, state).run()
        PowerNow(moment, self.estimates, self.hours, self._clock).run()
        OutputNow(moment, self.hours).run()
        return page.now()

    def _midnight_us(self, now_us: int) -> int:
        """Begin of the local day [us]."""
        local_us = now_us + self._local.offset_us(now_us)
        return now_us - local_us % DAY_US

    def _close_quarter(self, atlas: Atlas, window: Window, marks: Marks) -> None:
        kwh, _ = grid_kwh(atlas, window)
        today = marks.today
        today.cost_vnd += kwh * self._clock.price_vnd_kwh(window.since_us, window.until_us)
        today.co2_kg += kwh * self._clock.factor(window.until_us)
        if window.seconds >= _WHOLE_S:
            mean_mw = kwh * HOUR_S / window.seconds / 1e3
            today.peak_mw = float(np.nanmax([today.peak_mw, mean_mw]))

    def _note_turns(self, view: View, marks: Marks, now_us: int) -> None:
        """Keep each new turn time of a gate for an hour."""
        turns, at = view.read("gate", "turn_time"), view.at_us("gate", "turn_time")
        for place, gate in enumerate(self._arrays.gates):
            kept = marks.turns.setdefault(gate, [])
            came = int(at[place])
            if turns.good[place] and (not kept or kept[-1][0] < came):
                kept.append((came, float(turns.value[place])))
            first = next(
                (i for i, turn in enumerate(kept) if turn[0] > now_us - TURN_WINDOW_US), len(kept)
            )
            marks.turns[gate] = kept[max(first, len(kept) - TURNS_KEPT) :]
