"""Onboarding over a park: what was crawled is proposed, linted, and compared with lists."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster.bindings import binding_of, split_unit, written
from cluster.onboarding_desk import OnboardingDesk
from cluster.ports import EndpointSpec
from connectors.onboarding.seen import SeenNode, observed
from models.errors import InputError, NotFound, Unavailable
from twin.parkfile.load import load_park
from twin.tags import TagRow

POWER = "small/acme/hall/l1/p01/active_power"
NODES = (
    SeenNode(
        node="nsu=urn:a;s=L1.P01.Power", path="L1/P01/Power", data_type="Double", unit="W",
        observed=observed([100.0, 120.0, 110.0]),
    ),
    SeenNode(node="nsu=urn:a;s=L1.P01.Temp", path="L1/P01/Temp", data_type="String"),
)  # fmt: skip


class Live:
    """A running park as the desk sees it, with a gateway that crawled."""

    def __init__(self, state="done"):
        example = Path(__file__).parents[2] / "examples" / "minimal.yaml"
        self.park = replace(load_park(example), bindings=())
        self.statuses = [SimpleNamespace(id="plc")]
        self.bound = [binding_of(self.park, "plc", NODES[0].node, f"{POWER} [W]")]
        self.state, self.asked = state, []

    @property
    def dictionary(self):
        rows = {n: SimpleNamespace(binding=b) for n, b in enumerate(self.bound)}
        return SimpleNamespace(open=rows)

    @property
    def rows(self):
        rows = enumerate(self.bound, start=1)
        return tuple(TagRow(tag=n, binding=b, valid_from_us=0) for n, b in rows)

    now_us = 5

    async def ask_gateway(self, method, *arguments):
        self.asked.append((method, *arguments))
        if method == "crawl":
            return {"state": self.state, "nodes": 2, "what": "no answer", "remedy": "look"}
        return NODES


async def test_a_proposal_carries_the_unit_at_the_source():
    live = Live()
    live.bound = []
    (row,) = await OnboardingDesk(live).propose("plc")
    assert (row["path"], row["unit"], row["sure"]) == (POWER, "W", True)
    assert row["reasons"]


async def test_a_unit_in_a_mapping_scales_and_is_written_back():
    live = Live()
    (binding,) = live.bound
    assert binding.scale == 0.001
    assert written(binding) == f"{POWER} [W]"
    assert split_unit(POWER) == (POWER, "")
    with pytest.raises(InputError, match="no unit"):
        binding_of(live.park, "plc", NODES[0].node, f"{POWER} [furlong]")


async def test_a_list_with_node_and_path_needs_no_crawl_and_export_reads_back():
    live = Live()
    desk = OnboardingDesk(live)
    header, row = await desk.export("plc")
    assert row[:3] == (NODES[0].node, POWER, "W")
    text = f"node,path,unit\n{NODES[0].node},{POWER},kW\n"
    told = await desk.diff("plc", text.encode(), "l.csv")
    assert told["mapping"] == {NODES[0].node: POWER}
    assert [change["action"] for change in told["changes"]] == ["move"]
    same = await desk.diff("plc", ",".join(header).encode() + b"\n" + ",".join(row).encode(), "")
    assert same["mapping"] == {}
    assert not live.asked


async def test_lint_looks_at_the_mapping_of_the_endpoint_only():
    live = Live()
    live.bound.append(
        binding_of(live.park, "plc", NODES[1].node, POWER.replace("active_power", "temperature"))
    )
    live.bound.append(replace(live.bound[0], endpoint="other", identifier="s=gone"))
    (finding,) = await OnboardingDesk(live).lint("plc")
    assert finding["code"] == "type.text"


async def test_a_crawl_under_way_or_failed_is_told():
    with pytest.raises(Unavailable, match="under way"):
        await OnboardingDesk(Live("running")).propose("plc")
    with pytest.raises(InputError, match="no answer"):
        await OnboardingDesk(Live("failed")).lint("plc")
    with pytest.raises(NotFound, match="stranger"):
        await OnboardingDesk(Live()).lint("stranger")


async def test_rules_of_the_file_take_what_is_not_bound_yet():
    live = Live()
    live.bound = []
    rule = (
        live.park.endpoints["plc"]
        .map[0]
        .model_copy(update={"match": "nsu=urn:a;s=L1.*.Power", "to": "auto"})
    )
    endpoint = live.park.endpoints["plc"].model_copy(update={"map": (rule,)})
    live.park = replace(live.park, endpoints={"plc": endpoint})
    assert await OnboardingDesk(live).later("plc") == {NODES[0].node: f"{POWER} [W]"}


async def test_a_review_tells_changes_findings_and_problems_and_changes_nothing():
    live = Live()
    before = list(live.bound)
    other = POWER.replace("active_power", "temperature")
    mapping = {
        NODES[0].node: "",
        NODES[1].node: other,
        "nsu=urn:a;s=Twice": other,
        "no node": POWER,
    }
    told = await OnboardingDesk(live).review("plc", "plc", mapping)
    assert [(c["action"], c["path"]) for c in told["changes"]] == [
        ("add", other),
        ("remove", POWER),
    ]
    assert [finding["code"] for finding in told["findings"]] == ["type.text"]
    assert [p["node"] for p in told["problems"]] == ["nsu=urn:a;s=Twice", "no node"]
    assert live.bound == before


async def test_a_unit_that_changes_ends_the_old_history():
    live = Live()
    desk = OnboardingDesk(live)
    (change,) = (await desk.review("plc", "plc", {NODES[0].node: POWER}))["changes"]
    assert (change["action"], "scale" in change["reason"]) == ("replace", True)


async def test_an_address_that_is_not_saved_is_crawled_with_its_security():
    live = Live()
    spec = EndpointSpec(
        id="new", url="opc.tcp://127.0.0.1:4840", policy="Basic256Sha256", mode="SignAndEncrypt"
    )
    await OnboardingDesk(live).crawl(spec.url, spec=spec)
    method, url, fresh, config = live.asked[-1]
    assert (method, url, fresh, config.policy) == ("crawl", spec.url, False, "Basic256Sha256")
