"""Power of machines from what they do: power per state and energy per part.

``E = Σ P[state] · t[state] + e · parts`` (energy blocks of machine states; ISO 14955-1 names the
states). So a what-if that moves production moves energy, bin by bin.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from models.errors import InputError
from models.line import Spent

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePower:
    """What a machine draws.

    Parameters
    ----------
    working_kw, down_kw, blocked_kw, starved_kw, off_kw
        Power in each state of `models.line.Spent` [kW].
    per_part_kwh
        Energy of a part beyond the working power [kWh].
    """

    working_kw: float
    down_kw: float
    blocked_kw: float
    starved_kw: float
    off_kw: float = 0.0
    per_part_kwh: float = 0.0

    def __post_init__(self) -> None:
        if not all(np.isfinite(kw) and kw >= 0.0 for kw in (*self.by_state(), self.per_part_kwh)):
            raise InputError(f"{self}", "powers and energies are numbers from 0 up")

    def by_state(self) -> tuple[float, ...]:
        """Powers in the order of `models.line.Spent` [kW]."""
        return (self.working_kw, self.down_kw, self.blocked_kw, self.starved_kw, self.off_kw)


def machine_energy_kwh(
    spent_s: Floats, made: npt.ArrayLike, powers: Sequence[MachinePower]
) -> Floats:
    """Energy of each machine in each bin [kWh].

    Parameters
    ----------
    spent_s
        [..., machines, bins, Spent], seconds in each state.
    made
        [..., machines, bins], parts finished.
    powers
        One per machine.

    Returns
    -------
    Floats
        [..., machines, bins].
    """
    parts = np.asarray(made, np.float64)
    if spent_s.shape[-1] != len(Spent) or spent_s.shape[:-1] != parts.shape:
        raise InputError(
            f"states of shape {spent_s.shape}, parts of shape {parts.shape}",
            f"give [..., machines, bins, {len(Spent)}] and [..., machines, bins]",
        )
    if parts.ndim < 2 or parts.shape[-2] != len(powers):
        raise InputError(f"{len(powers)} powers for {parts.shape} parts", "give one per machine")
    table = np.array([power.by_state() for power in powers])
    per_part = np.array([power.per_part_kwh for power in powers])
    energy: Floats = np.einsum("...mbs,ms->...mb", spent_s, table) / 3600.0
    energy += parts * per_part[:, None]
    return energy


def machine_power_kw(
    spent_s: Floats, made: npt.ArrayLike, powers: Sequence[MachinePower]
) -> Floats:
    """Mean power of each machine in each bin [kW], [..., machines, bins]; 0 in an empty bin."""
    hours = spent_s.sum(axis=-1) / 3600.0
    energy = machine_energy_kwh(spent_s, made, powers)
    power: Floats = np.divide(energy, hours, out=np.zeros_like(energy), where=hours > 0.0)
    return power


def fit_machine_power(
    spent_s: Floats, made: npt.ArrayLike, energy_kwh: npt.ArrayLike
) -> MachinePower:
    """Fit a machine's powers to its meter: least squares, none negative.

    Parameters
    ----------
    spent_s
        [bins, Spent], seconds in each state.
    made
        [bins], parts finished.
    energy_kwh
        [bins], metered energy [kWh].

    Returns
    -------
    MachinePower
        A state that never occurs keeps 0; working power and energy per part can only be told
        apart where the cycle time varies.
    """
    energy = np.asarray(energy_kwh, np.float64)
    columns = np.column_stack((spent_s / 3600.0, np.asarray(made, np.float64)))
    if len(columns) != len(energy) or len(energy) < columns.shape[1]:
        raise InputError(
            f"{len(energy)} energies for {len(columns)} bins",
            f"give one per bin and at least {columns.shape[1]} bins",
        )
    if not np.all(np.isfinite(energy)):
        raise InputError("the meter has gaps", "leave the bins with gaps out")
    found, _ = nnls(columns, energy)
    working, down, blocked, starved, off, per_part = (float(value) for value in found)
    return MachinePower(
        working_kw=working,
        down_kw=down,
        blocked_kw=blocked,
        starved_kw=starved,
        off_kw=off,
        per_part_kwh=per_part,
    )
