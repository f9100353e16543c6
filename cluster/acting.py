"""Who acts in the request that is being answered, for the audit trail."""

from contextvars import ContextVar
from typing import Annotated, Final

from fastapi import Query

ACTOR: Final[ContextVar[str]] = ContextVar("actor", default="")


async def acting(
    by: Annotated[str, Query(min_length=1, max_length=200, description="Who acts")] = "api",
) -> None:
    """Take note of who sends a request; a dependency of routes that change something."""
    ACTOR.set(by)
