"""Checks of what pydantic cannot see: references between the parts of a park file."""

from models.errors import Problem
from twin.parkfile.schema import ParkFile
from twin.parkfile.strict_yaml import Document, Path


def faults(spec: ParkFile, document: Document, file: str = "") -> list[tuple[Path, Problem]]:
    return []


def hints(spec: ParkFile, document: Document, file: str = "") -> tuple[Problem, ...]:
    return ()
