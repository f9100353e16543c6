"""What a kWh from the grid costs and emits at a park time.

Where no edition of the tariff is in force (a pilot that ended) the price is not known, and so is
no cost: NaN. A tick must not fail for it, since the twin would fail again at each replay.
"""

from models.bill import Grid, prices
from models.emissions import grid_factors_vn
from models.errors import InputError
from models.tariff import tariff_named
from twin.park import Park
from twin.samples import from_us
from twin.working_hours import holidays_of


class PriceClock:
    """Price of energy and its emission factor, by park time."""

    def __init__(self, park: Park) -> None:
        connection = park.spec.utilities.electricity.connection
        self._tariff = tariff_named(connection.tariff)
        self._kv = connection.voltage
        self._holidays = holidays_of(park).holidays
        self._factors = grid_factors_vn()
        self._price: tuple[int, float] = (-1, 0.0)
        self._factor: tuple[int, float] = (-1, 0.0)

    def price_vnd_kwh(self, since_us: int, until_us: int) -> float:
        """Mean price over an interval [VND/kWh], without VAT; NaN where none is known."""
        grid = Grid(start_us=since_us, step_us=max(1, until_us - since_us), steps=1)
        try:
            return float(prices(self._tariff, grid, self._kv, self._holidays)[0])
        except InputError:
            return float("nan")

    def price_now(self, now_us: int) -> float:
        """Price at a time [VND/kWh], NaN where none is known; looked up once per minute."""
        minute = now_us // 60_000_000
        if self._price[0] != minute:
            self._price = (minute, self.price_vnd_kwh(now_us, now_us + 1))
        return self._price[1]

    def factor(self, now_us: int) -> float:
        """Emission factor of grid electricity in the year of a time [kgCO2e/kWh]."""
        year = from_us(now_us).year
        if self._factor[0] != year:
            self._factor = (year, self._factors.newest(year).kgco2e_kwh)
        return self._factor[1]
