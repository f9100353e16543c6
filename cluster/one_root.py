"""Driver and workers must run the same code: where the five packages were imported from."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from models.errors import MixedInstall

PACKAGES: Final = ("models", "twin", "connectors", "cluster", "dashboard")


def roots() -> dict[str, str]:
    """Folder each of the five packages comes from in this process."""
    found = {}
    for name in PACKAGES:
        spec = find_spec(name)
        origin = spec.origin if spec is not None else None
        found[name] = str(Path(origin).resolve().parent) if origin else ""
    return found


def check(here: Mapping[str, str], there: Mapping[str, str], who: str) -> None:
    """Compare the roots of two processes, and that all five lie in one folder.

    Raises
    ------
    MixedInstall
        Naming the package and both folders.
    """
    for name in PACKAGES:
        if here.get(name) != there.get(name):
            raise MixedInstall(
                f"package {name!r} is {here.get(name)} here and {there.get(name)} in {who}",
                "start parktwin from a folder that has no package of that name, "
                "or remove the other copy",
            )
    parents = {str(Path(path).parent) for path in here.values()}
    if len(parents) > 1:
        raise MixedInstall(
            f"the packages come from {len(parents)} places: {', '.join(sorted(parents))}",
            "reinstall parktwin into an environment of its own",
        )
