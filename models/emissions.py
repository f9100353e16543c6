"""Emission factors of grid electricity, by year and with their source."""

from dataclasses import dataclass
from typing import ClassVar, Final

from pydantic import ConfigDict, TypeAdapter

from models.errors import InputError
from models.sourced import Provenance, packaged, read_as


@dataclass(frozen=True, slots=True, kw_only=True)
class EmissionFactor:
    """Greenhouse gas of one kWh of a year.

    Parameters
    ----------
    year
        The year it was measured for; a result shows it, because it is rarely the present one.
    kgco2e_kwh
        The factor [kgCO2e/kWh].
    official
        Whether the authority published it; a study is for reference only.
    provenance
        Its source.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    year: int
    kgco2e_kwh: float
    official: bool
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class EmissionTable:
    """The factors of a region, in the order of the years."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    region: str
    factors: tuple[EmissionFactor, ...]

    def newest(self, year: int) -> EmissionFactor:
        """Return the newest official factor for that year or an earlier one.

        Raises
        ------
        InputError
            If none is old enough.
        """
        known = [f for f in self.factors if f.official and f.year <= year]
        if not known:
            raise InputError(
                f"no official emission factor of {self.region} up to {year}",
                f"the table starts in {min(f.year for f in self.factors)}",
            )
        return max(known, key=lambda factor: factor.year)

    def of(self, year: int) -> EmissionFactor:
        """Return the factor of exactly that year, official or from a study."""
        for factor in self.factors:
            if factor.year == year:
                return factor
        years = ", ".join(str(factor.year) for factor in self.factors)
        raise InputError(f"no emission factor of {self.region} for {year}", f"known are {years}")


_TABLE: Final = TypeAdapter(EmissionTable)


def grid_factors_vn() -> EmissionTable:
    """Return the shipped factors of the grid of Viet Nam."""
    file = "vn_grid_emission_factors.json"
    return read_as(packaged(file), _TABLE, file)
