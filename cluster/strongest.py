"""The strongest security a server offers; none is never taken without being asked for."""

from collections.abc import Iterable
from itertools import product
from typing import Final

BY_STRENGTH: Final = tuple(
    "/".join(pair)
    for pair in product(
        ("Aes256Sha256RsaPss", "Aes128Sha256RsaOaep", "Basic256Sha256"), ("SignAndEncrypt", "Sign")
    )
)
"""Policies with their modes, strongest first."""


def strongest(offered: Iterable[str]) -> str | None:
    """The strongest of those a server offers; None when it offers no security."""
    found = set(offered)
    return next((name for name in BY_STRENGTH if name in found), None)
