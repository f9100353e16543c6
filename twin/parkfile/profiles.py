"""Names of the load and truck templates a park file may use."""

from typing import Final

LOAD_PROFILES: Final = ("light_industry_vn", "continuous_industry_vn", "services_vn")
"""One and two shifts; round the clock; offices, shops and warehouses by day."""

TRUCK_PROFILES: Final = ("industrial_trucks",)
"""Trucks of an industrial park over the hours of a day."""
