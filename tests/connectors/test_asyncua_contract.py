"""The names of asyncua that we touch below its public face: an upgrade fails here first."""

import dataclasses
import importlib
import inspect
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient, UaClientState, UASocketProtocol
from asyncua.client.ua_session import UaSession
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.ua.ua_binary import struct_to_binary

from connectors.opcua.hooks import PINNED, PINNED_FIELDS, Encoded

LIMITS = TransportLimits(65535, 65535, 0, 0)


def found(name: str):
    module, _, path = name.partition(":")
    thing = importlib.import_module(module)
    for part in path.split("."):
        thing = getattr(thing, part)
    return thing


@pytest.mark.parametrize("name", sorted(PINNED))
def test_each_function_is_there_with_the_parameters_we_pass(name):
    assert set(PINNED[name]) <= set(inspect.signature(found(name)).parameters)


@pytest.mark.parametrize("name", sorted(PINNED_FIELDS))
def test_each_attribute_is_there_on_a_fresh_instance(name):
    client = UaClient()
    made = {
        "Client": Client("opc.tcp://127.0.0.1:4840"),
        "UaSession": UaSession(client),
        "UASocketProtocol": UASocketProtocol(),
        "SecureConnection": SecureConnection(SecurityPolicyNone(), LIMITS),
        "TransportLimits": LIMITS,
    }[name.rpartition(":")[2]]
    for field in PINNED_FIELDS[name]:
        assert hasattr(made, field), field


def test_an_encoded_request_has_the_bytes_asyncua_would_send():
    read = ua.ReadRequest()
    for i in range(3):
        one = ua.ReadValueId()
        one.NodeId = ua.NodeId(ua.String(f"V{i}"), ua.Int16(2))
        read.Parameters.NodesToRead.append(one)
    publish = ua.PublishRequest()
    publish.Parameters.SubscriptionAcknowledgements = [
        ua.SubscriptionAcknowledgement(ua.IntegerId(7), ua.Counter(2**32 - 1))
    ]
    for request in (read, publish):
        request.RequestHeader.RequestHandle = ua.IntegerId(5)
        request.RequestHeader.Timestamp = datetime(2026, 1, 1, tzinfo=UTC)
        assert Encoded(request).bytes_with(request.RequestHeader) == struct_to_binary(request)


def test_the_bytes_of_an_answer_are_the_whole_answer_without_a_copy():
    body = b"a message"
    assert bytes(Buffer(body)) == body
    buffer = Buffer(body)
    buffer.copy().read(3)
    assert bytes(buffer) == body


def test_a_connection_gives_its_largest_message_a_limit():
    limits = TransportLimits(65535, 65535, 0, 0)
    assert limits.is_msg_size_within_limit(2**40)
    limits.max_message_size = 10
    assert not limits.is_msg_size_within_limit(11)
    connection = SecureConnection(SecurityPolicyNone(), limits)
    assert connection._limits is limits


def test_the_fields_of_the_structures_we_send_and_read():
    for kind, fields in {
        ua.RepublishParameters: {"SubscriptionId", "RetransmitSequenceNumber"},
        ua.TransferSubscriptionsParameters: {"SubscriptionIds", "SendInitialValues"},
        ua.TransferResult: {"StatusCode", "AvailableSequenceNumbers"},
        ua.ReadRawModifiedDetails: {
            "IsReadModified", "StartTime", "EndTime", "NumValuesPerNode", "ReturnBounds",
        },
        ua.SetPublishingModeParameters: {"PublishingEnabled", "SubscriptionIds"},
        ua.MonitoringParameters: {
            "ClientHandle", "SamplingInterval", "QueueSize", "DiscardOldest", "Filter",
        },
    }.items():  # fmt: skip
        assert fields <= {field.name for field in dataclasses.fields(kind)}, kind


def test_the_supervisor_and_the_watchdog_are_begun_by_connect_alone():
    text = inspect.getsource(Client)
    assert text.count("create_task(self._connection_supervisor())") == 1
    assert text.count("create_task(self._stale_watchdog_loop())") == 1
    assert "_connection_supervisor" in inspect.getsource(Client.connect)
    assert "_connection_supervisor" not in inspect.getsource(Client._create_and_activate_session)
    assert UaClientState.CONNECTED.value == "connected"
