"""``python -m dashboard.verbs.bench_frames``: how long the web process takes to build frames.

Reads lines: profiles, figure specs, then frames as the API gives them, up to an empty line; prints
the milliseconds of each frame by profile. Started by ``parktwin bench live``.
"""

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import orjson

from cluster.ports import FigureSpec, Frame, Label
from dashboard.live import View, shows

_WARM: Final = 1


def spec_of(plain: dict[str, object]) -> FigureSpec:
    """A figure spec from its JSON."""
    told = {name: plain[name] for name in FigureSpec.__dataclass_fields__ if name in plain}
    label = told.get("label")
    if isinstance(label, dict):
        told["label"] = Label(**label)
    return FigureSpec(**told)  # type: ignore[arg-type]


def frame_of(plain: dict[str, object]) -> Frame:
    """A frame from its JSON."""
    now = datetime.fromisoformat(str(plain.pop("now")))
    return Frame(now_us=int(now.timestamp() * 1e6), **plain)  # type: ignore[arg-type]


def fold_ms(view: View, frames: list[Frame]) -> Iterator[float]:
    """Milliseconds to fold each frame into a delta."""
    for frame in frames:
        began = time.perf_counter()
        view.fold(frame)
        yield (time.perf_counter() - began) * 1e3


def main() -> None:
    """Read, fold, print."""
    profiles = orjson.loads(sys.stdin.readline())
    specs = [spec_of(plain) for plain in orjson.loads(sys.stdin.readline())]
    frames = [frame_of(orjson.loads(line)) for line in iter(sys.stdin.readline, "\n")]
    times = {}
    for profile in profiles:
        view = View([spec for spec in specs if shows(profile, spec)], "UTC")
        times[profile] = list(fold_ms(view, frames))[_WARM:]
    sys.stdout.write(orjson.dumps(times).decode() + "\n")


if __name__ == "__main__":
    main()
