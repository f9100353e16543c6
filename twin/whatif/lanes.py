"""Which futures are drawn: the seed, the numbers of the replications, and what varies in them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.draws import Stream, key_of, normals

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """Replications that are simulated together; each draws the same alone or among others.

    Parameters
    ----------
    seed
        Seed of all draws.
    replications
        [R], numbers of the replications.
    posterior
        Whether each replication draws the parameters that are not known exactly.
    """

    seed: int
    replications: Ints
    posterior: bool

    def __len__(self) -> int:
        return len(self.replications)

    def parameter(self, name: str) -> Floats:
        """Standard normal score of an uncertain parameter, [R]; zero where they are nominal."""
        if not self.posterior:
            return np.zeros(len(self))
        key = key_of(name)
        scores = [
            normals(self.seed, Stream.PARAMETER, replication, key, 1)[0]
            for replication in self.replications.tolist()
        ]
        return np.array(scores, np.float64)
