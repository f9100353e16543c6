"""The decoder's machine code is made once, by whoever starts first, and not again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.opcua import compiled, kernel

PYTHON = f"py{sys.version_info.major}{sys.version_info.minor}"
OVER, WALK = (f"kernel.{name}.{PYTHON}.nbi" for name in ("over-204", "walk-372"))


@pytest.fixture
def source(tmp_path, monkeypatch):
    file = tmp_path / "kernel.py"
    file.touch()
    os.utime(file, (1000, 1000))
    (tmp_path / "__pycache__").mkdir()
    monkeypatch.setattr(compiled, "_SOURCE", file)
    return file


@pytest.mark.parametrize(
    ("kept", "at_s", "whole"),
    [
        ((), 2000, False),
        ((OVER,), 2000, False),  # killed before it came to the end
        ((OVER, WALK), 2000, True),
        ((OVER, WALK), 999, False),
        ((OVER, "kernel.walk-372.py39.nbi"), 2000, False),  # of another Python
    ],
)
def test_it_is_compiled_when_the_last_function_is_newer_than_its_source(source, kept, at_s, whole):
    for name in kept:
        file = source.parent / "__pycache__" / name
        file.touch()
        os.utime(file, (at_s, at_s))
    assert compiled.is_compiled() is whole


def test_the_function_looked_for_is_in_the_kernel_and_calls_the_others():
    assert hasattr(kernel, compiled._LAST)
    text = Path(kernel.__file__).read_text("utf-8")
    last = text.index(f"def {compiled._LAST}(")
    assert not re.search(r"^@(numba\.)?njit", text[last:], re.M)


def test_what_is_compiled_costs_nothing_and_says_nothing(monkeypatch):
    monkeypatch.setattr(compiled, "is_compiled", lambda: True)
    told = []
    compiled.compile_once(told.append)
    assert told == []
    heavy = "import sys, connectors.opcua.compiled; print('numba' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"
