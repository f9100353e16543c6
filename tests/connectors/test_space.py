"""What a crawl asks and reads as bytes is what asyncua's own encoder and decoder say it is."""

import math
import random
import time
import uuid
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import (
    nodeid_from_binary,
    nodeid_to_binary,
    struct_from_binary,
    struct_to_binary,
)
from asyncua.ua.uaerrors import BadTooManyOperations
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.opcua import space
from connectors.opcua.nodes import UA_NAMESPACE, resolve, split_node, written
from connectors.opcua.space import Names, Told, Unit
from connectors.opcua.wire import Malformed, as_bytes
from models.errors import InputError, NotFound

URIS = (UA_NAMESPACE, "urn:a", "urn:b", "urn:a")
NAMES = Names(URIS)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
U32 = st.integers(0, 2**32 - 1)


INDEXES = st.integers(0, 4)


def node_ids():
    return st.one_of(
        st.builds(lambda i: ua.TwoByteNodeId(i), st.integers(0, 255)),
        st.builds(lambda i, n: ua.FourByteNodeId(i, n), st.integers(0, 65535), INDEXES),
        st.builds(lambda i, n: ua.NumericNodeId(i, n), U32, INDEXES),
        st.builds(lambda i, n: ua.StringNodeId(i, n), TEXT, INDEXES),
        st.builds(lambda i, n: ua.GuidNodeId(i, n), st.uuids(), INDEXES),
        st.builds(lambda i, n: ua.ByteStringNodeId(i, n), st.binary(max_size=9), INDEXES),
    )


def expanded(node, uri, server):
    return ua.ExpandedNodeId(
        node.Identifier, node.NamespaceIndex, node.NodeIdType, uri or None, server or None
    )


FAR = st.builds(
    expanded, node_ids(), st.sampled_from(["", "", "urn:b"]), st.sampled_from([0, 0, 7])
)
LOCAL = st.builds(ua.LocalizedText, st.none() | TEXT, st.none() | TEXT)
REFERENCES = st.builds(
    ua.ReferenceDescription,
    ReferenceTypeId=node_ids(),
    IsForward=st.booleans(),
    NodeId=FAR,
    BrowseName=st.builds(ua.QualifiedName, st.none() | TEXT, st.integers(0, 4)),
    DisplayName=LOCAL,
    NodeClass=st.sampled_from([ua.NodeClass.Object, ua.NodeClass.Variable]),
    TypeDefinition=FAR,
)
STATUS = st.sampled_from([0, 0, 0x40000000, 0x80340000, 0x806A0000, 0x00000480])
RESULTS = st.builds(
    lambda status, point, references: ua.BrowseResult(
        StatusCode=ua.StatusCode(ua.UInt32(status)),
        ContinuationPoint=point,
        References=references,
    ),
    STATUS,
    st.binary(max_size=5),
    st.lists(REFERENCES, max_size=4),
)


def browse_answer(results):
    return struct_to_binary(ua.BrowseResponse(Results=results))


def plain(node):
    return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)


@settings(deadline=None)
@given(st.lists(RESULTS, max_size=4))
def test_references_are_those_the_stock_decoder_reads(results):
    body = browse_answer(results)
    ours = space.browsed(as_bytes(body), more=False)
    buffer = Buffer(body)
    nodeid_from_binary(buffer)
    struct_from_binary(ua.ResponseHeader, buffer)
    assert int.from_bytes(buffer.read(4), "little") == len(ours) == len(results)
    for mine in ours:
        its = struct_from_binary(ua.BrowseResult, buffer)
        assert (mine.status, mine.point) == (its.StatusCode.value, its.ContinuationPoint or b"")
        assert len(mine.references) == len(its.References or ())
        for one, other in zip(mine.references, its.References or (), strict=True):
            target, kind = other.NodeId, other.TypeDefinition
            assert NAMES.text(one.node) == written(plain(target), URIS)
            assert NAMES.often(one.kind) == written(other.ReferenceTypeId, URIS)
            assert NAMES.text(one.type_node) == written(plain(kind), URIS)
            assert space.is_null(one.type_node) == (not kind.Identifier)
            assert nodeid_from_binary(Buffer(one.node)) == plain(target)
            assert one.name == (other.BrowseName.Name or "")
            assert one.shown == (other.DisplayName.Text or "")
            assert one.node_class == other.NodeClass
            uri, server = getattr(target, "NamespaceUri", None), getattr(target, "ServerIndex", 0)
            assert (one.uri, one.server) == (uri or "", server or 0)
            if uri:
                assert NAMES.target(one).startswith(f"nsu={uri};")


def test_the_rest_of_a_list_has_an_answer_of_its_own():
    answer = ua.BrowseNextResponse()
    answer.Parameters.Results = [ua.BrowseResult(ContinuationPoint=b"more")]
    body = as_bytes(struct_to_binary(answer))
    assert space.browsed(body, more=True)[0].point == b"more"
    with pytest.raises(Malformed):
        space.browsed(body, more=False)


T = ua.VariantType
SCALARS = st.one_of(
    st.builds(lambda v: ua.Variant(v, T.Boolean), st.booleans()),
    st.builds(lambda v: ua.Variant(v, T.Byte), st.integers(0, 255)),
    st.builds(lambda v: ua.Variant(v, T.SByte), st.integers(-128, 127)),
    st.builds(lambda v: ua.Variant(v, T.Int32), st.integers(-(2**31), 2**31 - 1)),
    st.builds(lambda v: ua.Variant(v, T.UInt64), st.integers(0, 2**64 - 1)),
    st.builds(lambda v: ua.Variant(v, T.Int64), st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda v: ua.Variant(v, T.Double), st.floats()),
    st.builds(lambda v: ua.Variant(v, T.Float), st.floats(width=32)),
    st.builds(lambda v: ua.Variant(v, T.String), st.none() | TEXT),
    st.builds(lambda v: ua.Variant(v, T.ByteString), st.none() | st.binary(max_size=9)),
    st.builds(lambda v: ua.Variant(v, T.LocalizedText), LOCAL),
    st.builds(lambda v: ua.Variant(v, T.NodeId), node_ids()),
    st.builds(lambda v: ua.Variant(v, T.Guid), st.uuids()),
    st.just(ua.Variant(datetime(2026, 11, 22, tzinfo=UTC), T.DateTime)),
    st.just(ua.Variant(None)),
    st.builds(
        lambda low, high: ua.Variant(ua.Range(low, high)), st.floats(), st.floats()
    ),
    st.builds(
        lambda uri, number, shown, said: ua.Variant(ua.EUInformation(uri, number, shown, said)),
        TEXT, st.integers(-(2**31), 2**31 - 1), LOCAL, LOCAL,
    ),
    st.just(ua.Variant(ua.Argument())),
    st.just(ua.Variant(None, T.ExtensionObject)),
)  # fmt: skip
ARRAYS = st.one_of(
    st.builds(lambda v: ua.Variant(v, T.Double, is_array=True), st.lists(st.floats(), max_size=4)),
    st.builds(lambda v: ua.Variant(v, T.String, is_array=True), st.lists(TEXT, max_size=4)),
    st.just(ua.Variant([[1.0, 2.0], [3.0, 4.0]], T.Double)),
)
VALUES = st.builds(
    lambda value, status, at, server_at, pico: ua.DataValue(
        Value=value,
        StatusCode=None if status is None else ua.StatusCode(ua.UInt32(status)),
        SourceTimestamp=at,
        ServerTimestamp=server_at,
        SourcePicoseconds=pico,
    ),
    st.none() | SCALARS | ARRAYS,
    st.none() | STATUS,
    st.none() | st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    st.none() | st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    st.none() | st.just(7),
)


def read_answer(values):
    return struct_to_binary(ua.ReadResponse(Results=values))


def as_told(value):
    """What the stock decoder's object says of an attribute."""
    inner = value.Value
    status = value.StatusCode.value if value.StatusCode is not None else 0
    if inner is None or inner.Value is None:
        return Told(status, None, None)
    if inner.is_array:
        return Told(status, 1, None)
    match inner.Value:
        case bool() | int() | float() | str() as known:
            pass
        case ua.LocalizedText(Text=text):
            known = text or ""
        case ua.NodeId() as node:
            known = nodeid_to_binary(node)
        case ua.EUInformation(UnitId=number, DisplayName=shown):
            known = Unit(number, shown.Text or "")
        case ua.Range(Low=low, High=high):
            known = (low, high) if math.isfinite(low) and math.isfinite(high) else None
        case _:
            known = None
    return Told(status, -1, known)


@settings(deadline=None)
@given(st.lists(VALUES, max_size=6))
def test_attributes_are_those_the_stock_decoder_reads(values):
    body = read_answer(values)
    buffer = Buffer(body)
    nodeid_from_binary(buffer)
    struct_from_binary(ua.ResponseHeader, buffer)
    buffer.read(4)
    stock = [as_told(struct_from_binary(ua.DataValue, buffer)) for _ in values]
    assert repr(space.told(as_bytes(body))) == repr(stock), "repr: NaN equals NaN"


def test_a_value_of_bad_status_is_not_taken_for_good():
    assert Told(0, -1, 3.0).good == 3.0
    assert Told(0x40000000, -1, 3.0).good is None
    assert Told(0x80340000, -1, 3.0).good is None


IDENTIFIERS = st.one_of(
    TEXT.filter(bool).map("s={}".format),
    U32.map("i={}".format),
    st.uuids().map("g={}".format),
    st.sampled_from(["b=AAEC", "b=/w=="]),
)


@settings(deadline=None)
@given(st.sampled_from(URIS), IDENTIFIERS)
def test_a_node_id_is_asked_for_as_the_stock_encoder_would_and_comes_back(uri, identifier):
    text = f"nsu={uri};{identifier}"
    stock = resolve(*split_node(text), URIS)
    assert NAMES.encoded(text) == nodeid_to_binary(stock)
    assert NAMES.text(NAMES.encoded(text)) == text


def test_what_is_no_node_id_is_refused_before_it_is_sent():
    with pytest.raises(NotFound):
        NAMES.encoded("nsu=urn:nowhere;s=V")
    for wrong in ("nsu=urn:a;i=x", "nsu=urn:a;q=1", "nsu=urn:a;b=!", "ns=2;s=V"):
        with pytest.raises(InputError):
            NAMES.encoded(wrong)


def test_a_call_that_failed_as_a_whole_raises_its_status():
    answer = ua.BrowseResponse()
    answer.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadTooManyOperations)
    with pytest.raises(BadTooManyOperations):
        space.browsed(as_bytes(struct_to_binary(answer)), more=False)


# --- foreign bytes ---


def sample(number):
    """An answer of each kind with something of everything in it, and its reader."""
    node = ua.ExpandedNodeId("F1", 2, ua.NodeIdType.String, "urn:b", 3)
    reference = ua.ReferenceDescription(
        ua.NodeId(47, 0), True, node, ua.QualifiedName("n", 2), ua.LocalizedText("shown", "vi"),
        ua.NodeClass.Variable, ua.ExpandedNodeId(uuid.UUID(int=9), 1, ua.NodeIdType.Guid),
    )  # fmt: skip
    if number:
        result = ua.BrowseResult(ContinuationPoint=b"more", References=[reference] * 3)
        return browse_answer([result] * 3), lambda body: space.browsed(body, more=False)
    unit = ua.EUInformation("u", 1, ua.LocalizedText("kW"), ua.LocalizedText("kilowatt"))
    values = [1.5, "text", unit, ua.Range(0.0, 1.0), [1.0, 2.0], ["a", "b"], ua.NodeId("x", 2)]
    each = [ua.DataValue(ua.Variant(value)) for value in values]
    return read_answer(each * 2), space.told


def attempt(read, body):
    try:
        read(as_bytes(body))
    except Malformed:
        return False
    except ua.UaError:
        return True  # a mutated ServiceResult
    return True


@pytest.mark.parametrize("number", [0, 1])
def test_an_answer_cut_anywhere_is_one_kind_of_error(number):
    body, read = sample(number)
    assert attempt(read, body)
    # The last four bytes are the count of diagnostics, which are not looked at.
    assert not any(attempt(read, body[:n]) for n in range(len(body) - 4))


@pytest.mark.parametrize("number", [0, 1])
def test_mutated_answers_are_read_or_refused_and_never_spin(number):
    body, read = sample(number)
    chance = random.Random(number)
    outcomes = set()
    for _ in range(4000):
        spoiled = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            spoiled[chance.randrange(len(spoiled))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        outcomes.add(attempt(read, bytes(spoiled)))
    assert outcomes == {True, False}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_after_a_true_header_are_read_or_refused(rest, browses):
    body, read = sample(int(browses))
    attempt(read, body[:28] + rest)


@pytest.mark.parametrize("number", [0, 1])
def test_a_count_of_a_thousand_million_costs_nothing(number):
    body, read = sample(number)
    count = len(struct_to_binary(ua.ReadResponse())) - 8
    assert int.from_bytes(body[count : count + 4], "little") in (3, 14)
    began = time.process_time()
    huge = (2**30).to_bytes(4, "little")
    assert not attempt(read, body[:count] + huge + body[count + 4 :])
    assert time.process_time() - began < 1.0
