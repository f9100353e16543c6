"""The production figures of now: OEE from summed elements, output, rates and bottlenecks."""

from typing import Final

import numpy as np
import numpy.typing as npt

from twin.marks import Window
from twin.moment import HOUR_S, Moment, sums
from twin.oee import (
    EXECUTING,
    LEAST_S,
    OUT_OF_SERVICE,
    SETUP,
    Elements,
    Ratios,
    counted,
    divided,
    line_elements,
    machine_elements,
    ratios,
)
from twin.working_hours import WorkingHours

Floats = npt.NDArray[np.float64]

RATE_S: Final = 900.0


class OutputNow:
    """Production figures at one moment.

    Parameters
    ----------
    moment
        What is known, and where it is written.
    hours
        Planned busy time.
    """

    def __init__(self, moment: Moment, hours: WorkingHours) -> None:
        self._moment, self._hours = moment, hours

    def run(self) -> None:
        """OEE and output of lines, sites and the park."""
        window, plan = self._moment.today, self._moment.arrays
        if window is None or not plan.n_lines:
            return
        lines, good = self._elements(window)
        found = ratios(lines)
        self._line_ratios(found)
        self._moment.daily("line", "good_today", good, found.good_fraction)
        kwh, observed = self._moment.kwh("machine", window)
        line_kwh = sums(plan.machine_line, np.nan_to_num(kwh), plan.n_lines)
        seen = sums(plan.machine_line, observed, plan.n_lines)
        seen /= sums(plan.machine_line, np.ones(len(plan.machine_line)), plan.n_lines)
        per_unit = np.where(counted(lines), divided(line_kwh, good), np.nan)
        self._moment.window("line", "kwh_per_unit", per_unit, np.minimum(seen, found.good_fraction))
        self._over_lines(lines, good)
        self._rates()
        self._bottlenecks()

    def _elements(self, window: Window) -> tuple[Elements, Floats]:
        """Elements of lines in a window, and their good output."""
        plan, marked = self._moment.arrays, self._moment.view.atlas.marked
        scrap = window.total[marked[("machine", "scrap_count")]]
        planned = self._hours.planned_s(window.since_us, window.until_us)
        machines = machine_elements(
            item_s=window.code_s[marked[("machine", "item_state")]],
            setup_s=window.code_s[marked[("machine", "operation_mode")]][:, SETUP],
            observed_s=window.good_s[marked[("machine", "item_state")]],
            produced=window.total[marked[("machine", "part_count")]],
            scrap=scrap,
            pri_s=plan.pri_s,
            plan_s=planned[plan.machine_line],
            window_s=window.seconds,
        )
        return line_elements(machines, scrap, plan.lines), machines.good[plan.lines.last]

    def _line_ratios(self, found: Ratios) -> None:
        share = np.nan_to_num(found.good_fraction)
        self._moment.window("line", "oee_pct", 100.0 * found.oee, share)
        self._moment.window("line", "availability_pct", 100.0 * found.availability, share)
        self._moment.window("line", "effectiveness_pct", 100.0 * found.effectiveness, share)
        self._moment.window("line", "quality_pct", 100.0 * found.quality, share)

    def _over_lines(self, lines: Elements, good: Floats) -> None:
        """Sites and the park, from summed elements."""
        plan = self._moment.arrays
        sites, park = ratios(lines.grouped(plan.line_site, plan.n_sites)), ratios(lines.total())
        self._moment.window(
            "site", "oee_pct", 100.0 * sites.oee, np.nan_to_num(sites.good_fraction)
        )
        made = sums(plan.line_site, good, plan.n_sites)
        has_lines = sums(plan.line_site, np.ones(plan.n_lines), plan.n_sites) > 0
        output = np.where(has_lines, made, np.nan)
        self._moment.daily("site", "good_today", output, np.nan_to_num(sites.good_fraction))
        share = float(np.nan_to_num(park.good_fraction)[0])
        self._moment.window("park", "oee_pct", 100.0 * float(park.oee[0]), share)
        self._moment.daily("park", "output_today", float(good.sum()), share)

    def _rates(self) -> None:
        """Good parts per hour over the last quarter hour or a little more."""
        window = self._moment.marks.since(RATE_S, self._moment.mark)
        if window is None or window.seconds < LEAST_S:  # one part in ten seconds is no 360 an hour
            return
        plan, marked = self._moment.arrays, self._moment.view.atlas.marked
        parts = window.total[marked[("machine", "part_count")]]
        scrap = window.total[marked[("machine", "scrap_count")]]
        good = np.maximum(parts - scrap, 0.0)[plan.lines.last]
        rate = good * HOUR_S / window.seconds
        seen = window.good_s[marked[("machine", "part_count")]][plan.lines.last]
        share = seen / window.seconds
        self._moment.window("line", "rate_h", rate, share)
        self._moment.window("park", "output_rate_h", float(rate.sum()), float(share.mean()))

    def _bottlenecks(self) -> None:
        """The machine of each line that was busy or down longest in the last hour, from 1."""
        window = self._moment.marks.since(HOUR_S, self._moment.mark)
        if window is None or window.seconds < LEAST_S:
            return
        plan = self._moment.arrays
        code_s = window.code_s[self._moment.view.atlas.marked[("machine", "item_state")]]
        taken = code_s[:, EXECUTING] + code_s[:, OUT_OF_SERVICE]
        order = np.lexsort((-taken, plan.machine_line))
        _, first = np.unique(plan.machine_line[order], return_index=True)
        worst = order[first]
        number = (worst - plan.line_first + 1).astype(np.float64)
        self._moment.page.put("line", "bottleneck", np.where(taken[worst] > 0.0, number, np.nan))
