"""A process that owns a shard on the real disk: batches come on stdin, answers go to stdout."""

import os
import sys
from pathlib import Path

from models.errors import Refused
from twin.disk import OsDisk
from twin.failpoint import VARIABLE, from_setting
from twin.samples import sample_batch
from twin.shard import Shard, ShardSettings
from twin.tags import Binding

ROWS = 50
NOW_US = 1_000_000_000_000


def main() -> None:
    folder = Path(sys.argv[1])
    settings = ShardSettings(segment_bytes=20_000)
    failpoint = from_setting(os.environ.get(VARIABLE))
    shard = Shard.open(folder, "vsip1", now_us=NOW_US, disk=OsDisk(), settings=settings,
                       failpoint=failpoint)  # fmt: skip
    shard.apply_park([Binding(path=f"p/{tag}") for tag in range(ROWS)], "kind: Park", NOW_US)
    print("ready", shard.offset, shard.digest(), flush=True)
    for line in sys.stdin:
        session, seq, number = map(int, line.split())
        batch = sample_batch(
            tag=range(1, ROWS + 1), at_us=NOW_US + number, value=number, seen_us=NOW_US
        )
        try:
            answer = shard.deliver("gw", session, seq, batch, NOW_US + number)
        except Refused as refused:
            print("refused", refused, flush=True)
            continue
        if answer.expect is None:
            print("acked", answer.session, answer.acked_seq, flush=True)
        else:
            print("expect", answer.session, answer.expect, flush=True)


main()
