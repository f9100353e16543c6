"""Quantities in files: a text with its unit on disk, a float in the canonical unit in memory."""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from models.errors import InputError
from models.units import DIMENSIONS, quantity

_NUMBERS: Final = (int, float)


@dataclass(frozen=True, slots=True)
class Quantity:
    """Annotation of a field that is written as ``45 kW`` and read as 45.0.

    Parameters
    ----------
    dimension
        Name of a dimension of `models.units`, e.g. ``power``.
    low, high
        Closed bounds in the canonical unit; None where there is none.
    """

    dimension: str
    low: float | None = None
    high: float | None = None

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Read the text, check the bounds."""
        del source, handler
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """A text with the unit named, for the printed schema and the form made from it."""
        del schema, handler
        made: JsonSchemaValue = {
            "type": "string",
            "x-dimension": self.dimension,
            "x-unit": DIMENSIONS[self.dimension].canonical,
            "pattern": r"^\s*[-+]?[0-9.]+(e[-+]?[0-9]+)?\s*\S*.*$",
        }
        bounds = {"x-minimum": self.low, "x-maximum": self.high}
        return made | {name: bound for name, bound in bounds.items() if bound is not None}

    def read(self, written: object) -> float:
        """The value in the canonical unit.

        Raises
        ------
        PydanticCustomError
            When it has no unit, another dimension's unit, or is out of bounds.
        """
        if isinstance(written, _NUMBERS) and not isinstance(written, bool):
            written = str(written)
        if not isinstance(written, str):
            raise PydanticCustomError(
                "quantity", "expected a quantity with its unit, got {got}", {"got": repr(written)}
            )
        try:
            value = quantity(written, self.dimension)
        except InputError as error:
            raise PydanticCustomError(
                "quantity", "{what}: {remedy}", {"what": error.what, "remedy": error.remedy}
            ) from error
        unit = DIMENSIONS[self.dimension].canonical
        if self.low is not None and value < self.low:
            raise PydanticCustomError(
                "quantity_low",
                "{got} is below {low} {unit}",
                {"got": repr(written), "low": self.low, "unit": unit},
            )
        if self.high is not None and value > self.high:
            raise PydanticCustomError(
                "quantity_high",
                "{got} is above {high} {unit}",
                {"got": repr(written), "high": self.high, "unit": unit},
            )
        return value
