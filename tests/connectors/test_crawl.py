"""A crawl finds every node once, whatever the server does, and goes on after a lost link."""

import json
import stat
from collections import Counter
from types import SimpleNamespace

import pytest
from asyncua import ua
from asyncua.client.ua_client import UASocketProtocol
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary
from asyncua.ua.uaerrors import BadResponseTooLarge, BadUserAccessDenied, UaStatusCodeError
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from connectors.opcua.crawl import CrawlLimits, CrawlState, crawl_all, crawl_with, look
from models.errors import InputError, Unavailable

URIS = ("http://opcfoundation.org/UA/", "urn:fake")
OBJECT, VARIABLE = int(ua.NodeClass.Object), int(ua.NodeClass.Variable)
HIERARCHY, PROPERTY = ua.NodeId(35, 0), ua.NodeId(46, 0)


class SessionOfBytes:
    """What `hooks.send_encoded` needs of asyncua's protocol: bytes in, bytes out."""

    timeout = 5.0

    def __init__(self, server):
        self.server, self._request_id, self._callbackmap = server, 0, {}
        self._connection = self.transport = self
        self.spoil = lambda body: body

    def _setup_request_header(self, header, timeout):
        header.TimeoutHint = int(timeout * 1000)

    def revolve_security_token(self):
        pass

    def message_to_binary(self, body, request_id):
        return request_id, body

    def check_answer(self, body, context):
        assert UASocketProtocol.check_answer(self, body, context)

    def write(self, message):
        number, body = message
        answer = self._callbackmap.pop(number)
        try:
            answer.set_result(Buffer(self.spoil(self._answer(Buffer(body)))))
        except (UaStatusCodeError, ConnectionError) as fault:
            answer.set_exception(fault)

    def _answer(self, body):
        kind = nodeid_from_binary(body).Identifier
        struct_from_binary(ua.RequestHeader, body)
        name, asked, made = CALLS[kind]
        answer = made()
        results = getattr(self.server, name)(struct_from_binary(asked, body))
        getattr(answer, "Parameters", answer).Results = results
        assert not len(body)
        return struct_to_binary(answer)


class FakeServer:
    """An address space behind the bytes of Browse, BrowseNext and Read.

    Requests are decoded and answers encoded by asyncua, which knows nothing of our templates.

    ``tree`` maps a node to its children; a name that begins with ``v`` is a variable, one with
    ``p:`` is a property. Namespace indexes may change with every session.
    """

    def __init__(self, tree, *, per_answer=1000, most=10_000, points=1000, limits=(500, 500)):
        self.tree, self.per_answer, self.most, self.points = tree, per_answer, most, points
        self.limits = limits
        self.left: dict[bytes, tuple[str, int]] = {}
        self.browsed: Counter[str] = Counter()
        self.calls = self.sessions = 0
        self.break_at: set[int] = set()
        self.refuse: set[str] = set()
        self.session_of_bytes = SessionOfBytes(self)
        self.uaclient = SimpleNamespace(
            protocol=self.session_of_bytes, read_attributes=self.read_attributes
        )
        self.uris = URIS

    async def open(self):
        self.sessions += 1
        self.left.clear()
        if self.sessions % 2 == 0:
            self.uris = (URIS[0], "urn:other", URIS[1])
        else:
            self.uris = URIS
        return self

    # --- what the crawl calls ---

    async def read_attributes(self, nodes, _what):
        return [self._identity(int(node.Identifier)) for node in nodes]

    def _identity(self, number):
        value = {2255: list(self.uris), 2254: ["urn:fake:server"]}.get(number)
        if number == 11705:
            value = self.limits[0]
        if number == 11710:
            value = self.limits[1]
        return ua.DataValue(ua.Variant(value) if value is not None else None)

    def browse(self, wanted):
        self._called()
        names = self.asked = [self._name(each.NodeId) for each in wanted.NodesToBrowse]
        if len(names) > self.most:
            raise BadResponseTooLarge
        if self.refuse.intersection(names):
            raise BadUserAccessDenied
        return [self._answer(name, 0) for name in names]

    def browse_next(self, wanted):
        self._called()
        found = [self.left.pop(point) for point in wanted.ContinuationPoints]
        if wanted.ReleaseContinuationPoints:
            return []
        return [self._answer(name, first) for name, first in found]

    def read(self, wanted):
        self._called()
        assert len(wanted.NodesToRead) <= self.limits[0]
        return [self._value(each) for each in wanted.NodesToRead]

    async def disconnect(self):
        pass

    def disconnect_socket(self):
        pass

    # --- the address space ---

    def _called(self):
        self.calls += 1
        if self.calls in self.break_at:
            raise ConnectionError("cut")

    def _name(self, node):
        if node.NamespaceIndex == 0:
            return "root"
        assert self.uris[node.NamespaceIndex] == URIS[1]
        return node.Identifier

    def _answer(self, name, first):
        result = ua.BrowseResult()
        if first == 0:
            self.browsed[name] += 1
        children = self.tree.get(name)
        if children is None and name not in {c for m in self.tree.values() for c in m}:
            result.StatusCode = ua.StatusCode(
                ua.UInt32(ua.status_codes.StatusCodes.BadNodeIdUnknown)
            )
            return result
        here = (children or [])[first : first + self.per_answer]
        if first + len(here) < len(children or []):
            if len(self.left) >= self.points:
                result.StatusCode = ua.StatusCode(
                    ua.UInt32(ua.status_codes.StatusCodes.BadNoContinuationPoints)
                )
                return result
            result.ContinuationPoint = f"{name}:{first}:{self.calls}".encode()
            self.left[result.ContinuationPoint] = (name, first + len(here))
        result.References = [self._reference(child) for child in here]
        return result

    def _reference(self, child):
        own = child.startswith("p:")
        name = child.removeprefix("p:").split("@")[0]
        kind = VARIABLE if own or child.startswith("v") else OBJECT
        index = self.uris.index(URIS[1])
        return ua.ReferenceDescription(
            NodeId=ua.ExpandedNodeId(child, index),
            BrowseName=ua.QualifiedName(name, index),
            DisplayName=ua.LocalizedText(name),
            NodeClass=ua.NodeClass(kind),
            ReferenceTypeId=PROPERTY if own else HIERARCHY,
            TypeDefinition=ua.ExpandedNodeId(63 if kind == VARIABLE else 61, 0),
        )

    def _value(self, each):
        name = each.NodeId.Identifier
        if name == "p:EngineeringUnits@v1":
            return _good(
                ua.EUInformation("u", 4937556, ua.LocalizedText("kW"), ua.LocalizedText(""))
            )
        if name == "p:EURange@v1":
            return _good(ua.Range(0.0, 100.0))
        match int(each.AttributeId):
            case 14:
                return _good(ua.NodeId(11, 0))
            case 15:
                return _good(-1)
            case 17:
                return _good(1)
            case 5:
                return _good(ua.LocalizedText(f"about {name}"))
            case _:
                return _good(float(self.calls))


CALLS = {
    527: ("browse", ua.BrowseParameters, ua.BrowseResponse),
    533: ("browse_next", ua.BrowseNextParameters, ua.BrowseNextResponse),
    631: ("read", ua.ReadParameters, ua.ReadResponse),
}


def _good(value):
    return ua.DataValue(ua.Variant(value))


async def crawled(server, *, limits=None, **more):
    return await crawl_with(
        server.open,
        "opc.tcp://fake:1",
        limits=limits or CrawlLimits(patience_s=20.0, retry_s=0.0),
        **more,
    )


TREE = {"root": ["a", "b"], "a": ["v1", "v2"], "v1": ["p:EngineeringUnits@v1", "p:EURange@v1"]}


async def test_everything_is_found_once_with_its_attributes():
    crawl = await crawled(FakeServer(TREE))
    assert crawl.complete
    rows = {row.path: row for row in crawl.nodes}
    assert set(rows) == {"a", "b", "a/v1", "a/v2"}
    power = rows["a/v1"]
    assert (power.unit, power.unit_id, power.span) == ("kW", 4937556, (0.0, 100.0))
    assert (power.data_type, power.access, power.rank) == ("Double", 1, -1)
    assert power.description == "about v1"
    assert power.node == "nsu=urn:fake;s=v1"
    assert rows["a"].node_class == "Object"


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    st.dictionaries(
        st.sampled_from(["root", *"abcdefgh"]),
        st.lists(st.sampled_from([*"abcdefgh", "v1", "v2", "v3"]), unique=True),
    ),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sets(st.integers(1, 30), max_size=4),
)
async def test_any_graph_is_walked_once_also_with_cycles_cuts_and_short_answers(
    tree, per_answer, per_call, cuts
):
    tree = {"root": [], **tree}
    server = FakeServer(tree, per_answer=per_answer, limits=(7, per_call))
    server.break_at = cuts
    crawl = await crawled(server)
    reachable, wave = set(), ["root"]
    while wave:
        for child in tree.get(wave.pop(), []):
            if child not in reachable:
                reachable.add(child)
                wave.append(child)
    assert crawl.complete
    assert Counter(row.node for row in crawl.nodes) == Counter(
        f"nsu=urn:fake;s={name}" for name in reachable
    )
    assert not server.left, "a continuation point was not given back"


async def test_a_folder_of_many_is_read_to_its_end():
    server = FakeServer({"root": [f"v{n}" for n in range(2500)]}, per_answer=100)
    crawl = await crawled(server)
    assert len(crawl.nodes) == 2500


async def test_a_lost_link_is_opened_again_and_nothing_is_asked_twice_without_need():
    tree = {"root": [f"o{n}" for n in range(50)]}
    tree |= {f"o{n}": [f"v{n}_{k}" for k in range(20)] for n in range(50)}
    server = FakeServer(tree, limits=(100, 10))
    server.break_at = {12, 40}
    crawl = await crawled(server, limits=CrawlLimits(outstanding=3, patience_s=5.0, retry_s=0.0))
    assert len(crawl.nodes) == 50 + 1000
    assert server.sessions == 3
    assert max(server.browsed.values()) <= 3


async def test_a_crawl_that_died_goes_on_from_its_file_which_is_its_owners_only(tmp_path):
    tree = {"root": [f"o{n}" for n in range(40)]}
    tree |= {f"o{n}": [f"v{n}_{k}" for k in range(10)] for n in range(40)}
    state = tmp_path / "crawl.jsonl"
    first = FakeServer(tree, limits=(100, 5))
    first.break_at = set(range(30, 10_000))
    with pytest.raises(Unavailable, match="goes on from there"):
        await crawled(first, state=state, limits=CrawlLimits(patience_s=0.3, retry_s=0.01))
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    with state.open("ab") as file:
        file.write(b'{"done": ["half a li')
    second = FakeServer(tree, limits=(100, 5))
    crawl = await crawled(second, state=state)
    assert Counter(row.node for row in crawl.nodes).most_common(1)[0][1] == 1
    assert len(crawl.nodes) == 40 + 400
    assert 0 < sum(second.browsed.values()) < 441
    assert not state.exists()


async def test_the_state_of_another_crawl_is_refused(tmp_path):
    state = tmp_path / "crawl.jsonl"
    state.write_text(json.dumps({"format": 1, "url": "opc.tcp://x:1", "root": "r"}) + "\n")
    with pytest.raises(InputError, match="another crawl"):
        await crawled(FakeServer(TREE), state=state)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        await crawled(FakeServer(TREE), state=link)
    assert not link.exists()


@pytest.mark.parametrize("limits", [CrawlLimits(nodes=3), CrawlLimits(depth=1), CrawlLimits()])
async def test_a_crawl_that_came_to_its_end_leaves_no_state_and_the_next_looks_anew(
    tmp_path, limits
):
    state = tmp_path / "crawl.jsonl"
    server = FakeServer(TREE)
    server.refuse = {"b"}
    first = await crawled(server, limits=limits, state=state)
    assert (first.complete, state.exists()) == (False, False)
    server = FakeServer({"root": ["v9"]})
    assert [row.name for row in (await crawled(server, state=state)).nodes] == ["v9"]


async def test_what_a_limit_left_out_is_known_after_the_process_died(tmp_path):
    state = tmp_path / "crawl.jsonl"
    kept = CrawlState(state, "opc.tcp://fake:1", "nsu=http://opcfoundation.org/UA/;i=85")
    kept.whole = False
    kept.take([], [])
    kept.close()
    assert not (await crawled(FakeServer(TREE), state=state)).complete


async def test_too_large_answers_make_smaller_calls():
    server = FakeServer({"root": [f"v{n}" for n in range(300)]}, most=20, limits=(500, 200))
    crawl = await crawled(server)
    assert crawl.complete
    assert len(crawl.nodes) == 300


async def test_too_few_continuation_points_are_asked_again_later():
    tree = {"root": [f"o{n}" for n in range(8)]} | {
        f"o{n}": [f"v{n}_{k}" for k in range(5)] for n in range(8)
    }
    crawl = await crawled(FakeServer(tree, per_answer=2, points=2))
    assert len(crawl.nodes) == 8 + 40
    assert crawl.complete


async def test_a_node_whose_children_are_never_all_told_is_there_with_its_fault():
    server = FakeServer({"root": ["a", "b"], "a": ["v1", "v2", "v3"]}, per_answer=2, points=0)
    crawl = await crawled(server)
    assert crawl.faults == {"nsu=urn:fake;s=a": "BadNoContinuationPoints"}
    assert sorted(row.path for row in crawl.nodes) == ["a", "b"]


async def test_one_answer_without_continuation_points_halves_the_calls_once():
    tree = {"root": [f"o{n}" for n in range(16)]} | {
        f"o{n}": [f"v{n}_{k}" for k in range(3)] for n in range(16)
    }
    server = FakeServer(tree, points=12, limits=(500, 16))
    whole = server.browse

    def few(wanted):
        server.per_answer = 20 if len(wanted.NodesToBrowse) == 1 else 2
        return whole(wanted)

    server.browse = few
    crawl = await crawled(server, limits=CrawlLimits(outstanding=1, retry_s=0.0))
    assert crawl.complete
    assert len(crawl.nodes) == 16 + 48
    assert server.browsed["o0"] == 1
    assert server.calls < 40


async def test_a_node_that_may_not_be_browsed_is_told_and_stops_nothing():
    server = FakeServer(TREE)
    server.refuse = {"b"}
    crawl = await crawled(server)
    assert not crawl.complete
    assert crawl.faults == {"nsu=urn:fake;s=b": "BadUserAccessDenied"}
    assert {row.path for row in crawl.nodes} == {"a", "b", "a/v1", "a/v2"}


async def test_a_node_whose_answer_cannot_be_read_is_told_and_stops_nothing():
    server = FakeServer(TREE)

    def spoil(body):
        # A browse that "b" is part of: its list claims more than there is.
        return body[:-6] if "b" in server.asked and body[:4] == b"\1\0\x12\2" else body

    server.session_of_bytes.spoil = spoil
    crawl = await crawled(server)
    assert list(crawl.faults) == ["nsu=urn:fake;s=b"]
    assert "cannot be read" in crawl.faults["nsu=urn:fake;s=b"]
    assert {row.path for row in crawl.nodes} == {"a", "b", "a/v1", "a/v2"}


async def test_answers_for_fewer_nodes_than_asked_are_not_given_to_others():
    server = FakeServer({"root": ["v1", "v2", "v3"]})
    full = server.read
    server.read = lambda wanted: full(wanted)[1:]
    crawl = await crawled(server)
    assert not crawl.complete
    assert all("cannot be read" in fault for fault in crawl.faults.values())
    assert len(crawl.faults) == 3


async def test_a_call_that_failed_without_a_fault_message_is_a_fault():
    server = FakeServer(TREE)
    bad = ua.StatusCodes.BadUserAccessDenied.to_bytes(4, "little")
    # ServiceResult of the ResponseHeader, after type, time and handle.
    server.session_of_bytes.spoil = lambda body: body[:16] + bad + body[20:]
    crawl = await crawled(server)
    assert list(crawl.faults.values()) == ["BadUserAccessDenied"]


async def test_limits_stop_it_and_say_so():
    crawl = await crawled(FakeServer(TREE), limits=CrawlLimits(nodes=3))
    assert (len(crawl.nodes), crawl.complete) == (3, False)
    shallow = await crawled(FakeServer(TREE), limits=CrawlLimits(depth=1))
    assert ({row.path for row in shallow.nodes}, shallow.complete) == ({"a", "b"}, False)
    endless = FakeServer({"root": [f"v{n}" for n in range(100)]}, per_answer=10)
    cut = await crawled(endless, limits=CrawlLimits(children=30))
    assert "does not come to an end" in next(iter(cut.faults.values()))
    assert not endless.left


async def test_progress_tells_nodes_levels_rate_and_what_is_left():
    told = []
    await crawled(FakeServer(TREE), progress=told.append)
    assert told[-1].nodes == 4
    assert (told[-1].levels, told[-1].left) == (2, 0)
    assert told[-1].per_s > 0


async def test_a_server_that_never_answered_is_not_waited_for():
    async def nobody():
        raise Unavailable("connection refused", "is the server running")

    with pytest.raises(Unavailable, match="connection refused"):
        await crawl_with(nobody, "opc.tcp://fake:1", limits=CrawlLimits(patience_s=60.0))


async def test_a_root_that_is_no_node_or_not_there(tmp_path):
    crawl = await crawled(FakeServer(TREE), node="nsu=urn:fake;s=nothing")
    assert (crawl.nodes, crawl.complete) == ((), False)
    with pytest.raises(InputError, match="bare namespace index"):
        await crawl_all(SimpleNamespace(url="opc.tcp://fake:1", user=""), "ns=2;s=V")


async def test_looking_at_values_says_what_they_did():
    server = FakeServer(TREE)
    crawl = await crawled(server)
    seen = {n.path: n for n in await look(server, crawl.nodes, rounds=4, every_s=0.0)}
    assert seen["a/v1"].observed.n == 4
    assert seen["a/v1"].observed.rises == 3
    assert seen["a"].observed is None
