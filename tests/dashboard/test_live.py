"""The live hub: snapshots, deltas, dead-band, slow clients."""

import asyncio
from dataclasses import replace

import orjson
import pytest
from fake_service import FakePark

from cluster.ports import FigureSpec, Frame, Label, NotFound, Unavailable
from dashboard.live import PROFILES, Client, LiveHub, View, shows

NAME = Label(vi="a", en="a")


def spec(name, decimals=1):
    return FigureSpec(id=name, label=NAME, decimals=decimals)


def frame(seq, **values):
    return Frame(
        seq=seq,
        now_us=1_795_323_600_000_000 + seq * 1_000_000,
        speed=1.0,
        values={k.replace("_", ".", 1): v for k, v in values.items()},
        quality={},
        measured={},
        alarms={"high": 1},
        age_s=0.2,
    )


@pytest.fixture
def view():
    return View([spec("park.a"), spec("park.b", 0)], "Asia/Ho_Chi_Minh")


def read(message):
    return orjson.loads(message)


def test_a_snapshot_names_every_figure_and_the_offset_of_the_zone(view):
    view.fold(frame(1, park_a=1.0, park_b=7.0))
    told = read(view.snapshot())
    assert told["ids"] == ["park.a", "park.b"]
    assert told["v"] == {"0": 1.0, "1": 7.0}
    assert (told["o"], told["s"]) == (420, 1)


def test_a_delta_holds_only_what_a_person_would_see_change(view):
    view.fold(frame(1, park_a=1.00, park_b=7.0))
    told = read(view.fold(frame(2, park_a=1.04, park_b=8.0)))
    assert told["v"] == {"1": 8.0}
    assert "a" not in told


def test_slow_drift_is_sent_once_it_shows(view):
    view.fold(frame(1, park_a=1.00))
    sent = [read(view.fold(frame(2 + n, park_a=1.0 + 0.02 * n))).get("v") for n in range(1, 4)]
    assert sent == [None, None, {"0": 1.1}]


def test_a_value_that_is_not_known_is_null(view):
    view.fold(frame(1, park_a=1.0))
    assert read(view.fold(frame(2, park_a=float("nan"))))["v"] == {"0": None}


def test_quality_and_measured_share_travel_when_they_change(view):
    view.fold(frame(1, park_a=1.0))
    worse = replace(frame(2, park_a=1.0), quality={"park.a": 2}, measured={"park.a": 0.34})
    told = read(view.fold(worse))
    assert (told["q"], told["m"]) == ({"0": 2}, {"0": 0.34})


async def test_a_slow_client_loses_frames_and_gets_a_snapshot():
    client = Client()
    for n in range(4):
        client.put(b"delta %d" % n, lambda: b"snapshot")
    assert client.dropped == 2
    assert await client.next() == b"snapshot"
    assert await client.next() == b"delta 3"


async def test_the_first_message_is_a_snapshot_and_the_next_a_delta():
    hub, service = LiveHub(FakePark(seconds=lambda: 0.0), period_s=60), FakePark()
    client = await hub.join("vsip1", "overview")
    assert "ids" in read(await client.next())
    hub.publish("vsip1", replace(await service.frame("vsip1"), seq=99))
    assert "ids" not in read(await client.next())
    hub.leave("vsip1", "overview", client)


async def test_a_frame_already_sent_is_not_sent_again(park):
    hub = LiveHub(park, period_s=60)
    client = await hub.join("vsip1", "overview")
    await client.next()
    hub.publish("vsip1", await park.frame("vsip1"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.next(), 0.05)
    hub.leave("vsip1", "overview", client)


async def test_an_unknown_park_is_refused(park):
    with pytest.raises(NotFound):
        await LiveHub(park).join("nowhere", "shell")


async def test_what_nobody_watches_is_not_asked_for(park):
    hub = LiveHub(park, period_s=0.01)
    first = await hub.join("vsip1", "shell")
    second = await hub.join("vsip1", "energy")
    hub.leave("vsip1", "shell", first)
    assert "vsip1" in hub._tasks
    hub.leave("vsip1", "energy", second)
    assert not hub._tasks
    assert not hub._views


async def test_the_hub_outlives_an_answer_that_does_not_come():
    class Stumbling(FakePark):
        failures = 2

        async def frame(self, park):
            if self.failures == 1:
                self.failures = 0
                raise Unavailable("the shard restarts")
            self.failures = min(self.failures, 1)
            return await super().frame(park)

    hub = LiveHub(Stumbling(speed=1000), period_s=0.3)
    client = await hub.join("vsip1", "shell")
    await client.next()
    assert read(await asyncio.wait_for(client.next(), 5))["s"] > 0
    hub.leave("vsip1", "shell", client)


@pytest.mark.parametrize("profile", [*PROFILES, "asset:acme"])
async def test_a_frame_of_a_second_stays_below_two_kilobytes(profile):
    moment = [0.0]
    park = FakePark(seconds=lambda: moment[0])
    view = View([s for s in await park.specs("vsip1") if shows(profile, s)], "UTC")
    view.fold(await park.frame("vsip1"))
    sizes = []
    for _ in range(30):
        moment[0] += 1.0
        sizes.append(len(view.fold(await park.frame("vsip1"))))
    assert max(sizes) <= 2048


def test_an_asset_profile_shows_what_is_below_it():
    below = FigureSpec(id="line.acme/l1.oee_pct", label=NAME, asset="acme/l1")
    beside = FigureSpec(id="site.acme2.kw", label=NAME, asset="acme2")
    assert shows("asset:acme", below)
    assert not shows("asset:acme", beside)
