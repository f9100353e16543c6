"""How well mappings are proposed: frozen plants with their truth, counted at the threshold.

``python -m connectors.bench_match [FOLDER]`` prints the figures. The plants lie beside the tests;
an installed parktwin has none, so the folder is given.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from connectors.onboarding.match import Matcher
from connectors.onboarding.seen import SeenNode, observed
from models.errors import Corrupt, NotFound
from twin.park import Park
from twin.parkfile.load import load_park

FOLDER: Final = Path(__file__).parents[1] / "tests" / "connectors" / "plants"
PLANTS: Final = ("vi", "en", "abbr", "companion")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One plant: variables, true pairs, accepted without a look, right among them, proposed right.

    Parameters
    ----------
    seconds
        Time of one match [s].
    """

    plant: str
    variables: int
    true: int
    accepted: int
    right: int
    proposed: int
    seconds: float

    @property
    def precision(self) -> float:
        """Right among the accepted [1]; 1 when nothing was accepted."""
        return self.right / self.accepted if self.accepted else 1.0

    @property
    def share(self) -> float:
        """True pairs that were accepted [1]."""
        return self.right / self.true


def frozen(folder: Path = FOLDER) -> None:
    """Check the plants against the hashes they were frozen with.

    Raises
    ------
    NotFound
        When they are not there.
    Corrupt
        When one was changed.
    """
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise NotFound("folder of frozen plants", str(folder))
    for row in sums.read_text(encoding="ascii").splitlines():
        digest, name = row.split()
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise Corrupt(f"{name} is not what was frozen", "take it from the history again")


def rows(plant: str, folder: Path = FOLDER) -> Iterator[SeenNode]:
    """Nodes of a plant, as a crawl with a look at the values would tell them."""
    with (folder / f"{plant}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            unit, span = row.get("unit") or {}, row.get("range")
            yield SeenNode(
                node=row["node"],
                path=row["path"],
                node_class=row["class"],
                names=row.get("names", {}),
                description=row.get("description", ""),
                data_type=row.get("data_type", ""),
                unit=unit.get("text", ""),
                unit_id=unit.get("id"),
                span=(span[0], span[1]) if span else None,
                access=row.get("access", 1),
                rank=row.get("rank", -1),
                type_node=row.get("type", ""),
                bases=tuple(row.get("bases", ())),
                observed=observed(row.get("samples", ())),
            )


def park_of(plant: str, folder: Path = FOLDER) -> Park:
    """The park a plant belongs to, with nothing mapped."""
    return replace(load_park(folder / f"{plant}.park.yaml"), bindings=())


def truth_of(plant: str, folder: Path = FOLDER) -> dict[str, str]:
    """Node → tag path, for every node that has one."""
    found = json.loads((folder / f"{plant}.truth.json").read_text(encoding="utf-8"))
    return {str(node): str(path) for node, path in found.items()}


def score(plant: str, folder: Path = FOLDER) -> Score:
    """Match one plant and count."""
    nodes, truth = list(rows(plant, folder)), truth_of(plant, folder)
    matcher = Matcher(park_of(plant, folder))
    began = time.perf_counter()
    found = matcher.match(nodes)
    seconds = time.perf_counter() - began
    right = [match for match in found if truth.get(match.node) == match.path]
    return Score(
        plant=plant,
        variables=sum(1 for node in nodes if node.node_class == "Variable"),
        true=len(truth),
        accepted=sum(1 for match in found if match.sure),
        right=sum(1 for match in right if match.sure),
        proposed=len(right),
        seconds=seconds,
    )


def main() -> None:
    """Print a line per plant."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    frozen(folder)
    for plant in PLANTS:
        s = score(plant, folder)
        sys.stdout.write(
            f"{s.plant:10} {s.variables:5} variables {s.true:4} true pairs: accepted {s.accepted},"
            f" precision {s.precision:.1%}, share {s.share:.1%}, proposed {s.proposed / s.true:.1%}"
            f" in {s.seconds:.2f} s\n"
        )


if __name__ == "__main__":
    main()
