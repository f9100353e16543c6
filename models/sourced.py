"""Dated facts with their source: who says so, when, and how sure it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from importlib import resources
from itertools import pairwise
from typing import Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from models.errors import InputError, InvalidInput, Problem


class Status(StrEnum):
    """How sure a figure is."""

    VERIFIED = "verified"
    """Read in the document itself or an official page."""
    SECONDARY = "secondary"
    """Read in a copy or a report about it."""
    ASSUMED = "assumed"
    """Not found; a choice of ours, to be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a figure comes from.

    Parameters
    ----------
    source, source_vi
        Document, or what stands in for it, in English and in Vietnamese; one that has no
        Vietnamese name keeps the English one.
    dated
        Day of that document; None when it is not known.
    status
        How sure the figure is.
    note
        What a reader must know beside it.
    """

    source: str
    dated: date | None
    status: Status
    note: str = ""
    source_vi: str = ""


class Dated(Protocol):
    """Something in force from one day to the day before another; no end when None."""

    @property
    def effective_from(self) -> date:
        """First local day in force."""

    @property
    def effective_to(self) -> date | None:
        """First local day no longer in force."""


D = TypeVar("D", bound=Dated)
T = TypeVar("T")


def in_force(editions: tuple[D, ...], day: date, what: str) -> D:
    """Return the edition in force on a local day.

    Raises
    ------
    InputError
        If none is; the remedy names the days that are covered.
    """
    for edition in reversed(editions):
        if edition.effective_from <= day and not _ended(edition, day):
            return edition
    spans = "; ".join(f"{e.effective_from} to {e.effective_to or 'today'}" for e in editions)
    raise InputError(f"no {what} is known for {day}", f"known are {spans}; add an edition")


def check_order(editions: tuple[D, ...], what: str) -> None:
    """Refuse editions that overlap or are out of order."""
    for before, after in pairwise(editions):
        if before.effective_to is None or before.effective_to > after.effective_from:
            raise ValueError(
                f"{what} from {before.effective_from} overlaps the one from {after.effective_from}:"
                " give the earlier one an effective_to"
            )


def read_as(data: object, adapter: TypeAdapter[T], file: str = "") -> T:
    """Turn plain data into a value, or list everything that is wrong with it.

    Raises
    ------
    InvalidInput
        With one problem per fault: its path and what is wrong.
    """
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        raise InvalidInput(
            tuple(
                Problem(
                    message=fault["msg"], path=".".join(str(p) for p in fault["loc"]), file=file
                )
                for fault in faults
            )
        ) from error


def packaged(name: str) -> Mapping[str, object]:
    """Return the JSON data file of that name shipped in ``models/data``."""
    text = resources.files("models").joinpath("data", name).read_text(encoding="utf-8")
    data: Mapping[str, object] = json.loads(text)
    return data


def _ended(edition: Dated, day: date) -> bool:
    return edition.effective_to is not None and day >= edition.effective_to
