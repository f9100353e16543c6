"""What a restarted process must not import before it answers: each costs up to a CPU second.

An import is paid again after every kill, on a machine that is busy with everything else.
"""

import subprocess
import sys

import pytest

SOLAR = {"pvlib", "scipy.optimize", "scipy.integrate", "h5py"}
STORE = {"sqlalchemy", "alembic"}
FACES = {"fastapi", "uvicorn", "dash", "plotly"}
DECODER = {"numba", "scipy"}
"""What turns messages into columns is compiled, and what compiles it looks for scipy."""
TWIN = {"numba", "scipy", "pandas", "polars", "deltalake", "ruamel", "twin.state", "twin.shard"}


@pytest.mark.parametrize(
    ("module", "barred"),
    [
        pytest.param("cluster.park_host", SOLAR | STORE | FACES | {"asyncua"}, id="twin"),
        pytest.param("cluster.gateway_actor", SOLAR | STORE | FACES | TWIN - DECODER, id="gateway"),
        pytest.param(
            "cluster.park_actor", SOLAR | STORE | FACES | TWIN | {"asyncua"}, id="handle of a twin"
        ),
    ],
)
def test_a_restarted_process_imports_nothing_heavy_that_it_does_not_need(module, barred):
    code = f"import sys, {module}; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(barred & set(said.stdout.split())) == []
