"""Endpoint configuration, node ids, and the names of asyncua that the connector stands on."""

import inspect
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient, UaClientState
from asyncua.client.ua_session import UaSession
from hypothesis import given
from hypothesis import strategies as st

from cluster import bindings
from cluster.config_json import config_from, plain_of
from cluster.ports import EndpointSpec
from connectors.opcua.config import EndpointConfig, Notifier, endpoint_config
from connectors.opcua.nodes import resolve, split_node, written
from models.errors import InputError, NotFound
from twin.notifiers import notifiers
from twin.parkfile.schema import Endpoint
from twin.tags import Binding, TagRow

ROOT = Path(__file__).parents[2]
URIS = ("http://opcfoundation.org/UA/", "urn:server", "urn:a", "urn:b")
URL = "opc.tcp://127.0.0.1:4840"


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"url": "http://x:4840"}, "url"),
        ({"url": "opc.tcp://user:pw@x:4840"}, "url"),
        ({"allow_insecure": False}, "policy"),
        ({"policy": "Basic256", "mode": "Sign"}, "policy"),
        ({"policy": "Basic256Sha256"}, "mode"),
        ({"mode": "Sign"}, "mode"),
        ({"user": "u", "password": "env:X"}, "user"),
        ({"policy": "Basic256Sha256", "mode": "Sign", "password": "plain"}, "password"),
        ({"time_policy": "guess"}, "time_policy"),
        ({"sampling_ms": 0.0}, "sampling_ms"),
        ({"publishing_ms": float("nan")}, "publishing_ms"),
    ],
)
def test_what_cannot_work_is_refused_at_its_field(more, where):
    with pytest.raises(InputError) as caught:
        EndpointConfig(**({"id": "e", "url": URL, "allow_insecure": True} | more))
    assert caught.value.where == where
    assert caught.value.remedy
    assert "plain" not in str(caught.value).replace("plain text", "")


def test_a_password_reference_is_not_shown():
    config = EndpointConfig(
        id="e", url=URL, policy="Basic256Sha256", mode="Sign", user="u", password="env:SECRET_NAME"
    )
    assert "SECRET_NAME" not in repr(config)


def test_a_park_files_endpoint_gets_its_own_open_rows_and_sampling_rules():
    endpoint = Endpoint.model_validate(
        {
            "id": "plc",
            "url": "opc.tcp://10.0.0.5:4840",
            "allow_insecure": True,
            "sampling": "0.5 s",
            "map": [
                {
                    "match": "nsu=urn:a;s={machine}.Power",
                    "to": "acme/{machine}/active_power",
                    "sampling": "0.1 s",
                    "publishing": "0.2 s",
                    "deadband": "2 %",
                }
            ],
            "bridge": "30 s",
            "spares": ["opc.tcp://10.0.0.6:4840"],
            "redundancy": "warm",
            "events": ["i=2253"],
        }
    )
    rows = [
        _row(1, "plc", "s=P01.Power"),
        _row(2, "plc", "s=P01.Temp"),
        _row(3, "other", "s=P01.Power"),
        TagRow(tag=4, binding=_row(4, "plc", "s=Old").binding, valid_from_us=0, valid_to_us=5),
        *(
            TagRow(tag=5 + n, binding=binding, valid_from_us=0)
            for n, endpoint_id in enumerate(("plc", "other"))
            for binding in notifiers("p", endpoint_id, endpoint.events)
        ),
    ]
    config = endpoint_config(endpoint, rows, url="opc.tcp://127.0.0.1:50001")
    assert config.url == "opc.tcp://127.0.0.1:50001"
    assert [(i.tag, i.sampling_ms) for i in config.items] == [(1, 100.0), (2, None)]
    assert (config.sampling_ms, config.publishing_ms) == (500.0, 1000.0)
    power, temperature = config.items
    assert config.intervals_of(power) == (200.0, 100.0)
    assert config.intervals_of(temperature) == (1000.0, 500.0)
    assert (power.deadband, power.deadband_percent, temperature.deadband) == (2.0, True, 0.0)
    assert config.queue_for(100.0) == 300
    server = Notifier(tag=5, node="nsu=http://opcfoundation.org/UA/;i=2253")
    assert (config.redundancy, config.events) == ("warm", (server,))
    assert config_from(json.loads(json.dumps(plain_of(config)))) == config
    assert config.spares == ("opc.tcp://10.0.0.6:4840",)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"of_later": 1}, "of_later"),
        ({"items": [{"tag": 1, "namespace": "urn:a"}]}, "items.0.identifier"),
        ({"items": [{"tag": "x", "namespace": "urn:a", "identifier": "s=V"}]}, "items.0.tag"),
        ({"events": [{"tag": 1, "node": "i=2253", "of_later": 1}]}, "events.0.of_later"),
    ],
)
def test_a_configuration_of_another_version_is_refused_with_the_place(change, where):
    config = EndpointConfig(id="e", url="opc.tcp://10.0.0.5:4840", allow_insecure=True)
    with pytest.raises(ValueError, match=where):
        config_from(plain_of(config) | change)


def _row(tag: int, endpoint: str, identifier: str) -> TagRow:
    binding = Binding(
        path=f"p/{endpoint}/t{tag}", endpoint=endpoint, namespace="urn:a", identifier=identifier
    )
    return TagRow(tag=tag, binding=binding, valid_from_us=0)


@given(
    st.one_of(
        st.text(min_size=1).map(lambda text: f"s={text}"),
        st.integers(0, 2**31 - 1).map(lambda n: f"i={n}"),
        st.uuids().map(lambda u: f"g={u}"),
    ),
    st.sampled_from(URIS),
)
def test_a_node_id_survives_the_way_to_a_session_and_back(identifier, uri):
    node = resolve(uri, identifier, URIS)
    assert node.NamespaceIndex == URIS.index(uri)
    assert split_node(written(node, URIS)) == (uri, identifier)


def test_the_index_follows_the_uri_not_the_other_way_round():
    before = resolve("urn:a", "s=V", URIS)
    after = resolve("urn:a", "s=V", (*URIS[:2], "urn:b", "urn:a"))
    assert (before.NamespaceIndex, after.NamespaceIndex) == (2, 3)


def test_bad_node_ids_say_what_to_write():
    with pytest.raises(InputError, match="nsu="):
        split_node("ns=2;s=V")
    for text in ("", "V", "nsu=urn:a", "nsu=urn:a;"):
        with pytest.raises(InputError):
            split_node(text)
    for identifier in ("i=x", "g=1", "b=***", "q=1", "V"):
        with pytest.raises(InputError):
            resolve("urn:a", identifier, URIS)
    with pytest.raises(NotFound, match="did you mean"):
        resolve("urn:aa", "s=V", URIS)


# --- the contract with asyncua ---


def test_the_connector_touches_private_names_of_asyncua_in_one_file_only():
    for path in (ROOT / "connectors").glob("**/*.py"):
        if "plant" in path.parts or path.name == "hooks.py":
            continue
        text = path.read_text(encoding="utf-8")
        for owner in ("client", "uaclient", "session", "subscription", "ua"):
            assert f"{owner}._" not in text.replace("self._client._", "self._client__"), path


def test_the_public_names_of_asyncua_still_behave_as_the_connector_needs():
    def parameters(function) -> list[str]:
        return list(inspect.signature(function).parameters)

    assert parameters(UaSession.create_subscription) == ["self", "params", "callback"]
    assert parameters(UaSession.republish) == [
        "self",
        "subscription_id",
        "retransmit_sequence_number",
    ]
    assert parameters(UaClient.create_subscription) == ["self", "params", "callback"]
    assert parameters(UaClient.create_monitored_items) == ["self", "params"]
    assert parameters(UaClient.read_attributes) == ["self", "nodeids", "attr"]
    assert {"timeout", "watchdog_intervall", "auto_reconnect"} <= set(parameters(Client))
    assert "server_certificate" in parameters(Client.set_security)
    assert UaClientState.DISCONNECTED.value == "disconnected"
    client = Client(URL)
    assert client.certificate_validator is None
    assert isinstance(client.uaclient.session, UaSession)
    assert {"ClientHandle", "Value"} == set(ua.MonitoredItemNotification.__dataclass_fields__)


def test_what_was_registered_reaches_the_connector_whole():
    spec = EndpointSpec(
        id="plc", url="opc.tcp://h:1", allow_insecure=True, bridge_s=60.0, deadband="2 %",
        spares=("opc.tcp://h:2",), redundancy="hot", heartbeat="nsu=urn:a;s=Beat",
        heartbeat_s=30.0, publishing_ms=200.0,
    )  # fmt: skip
    # As the store keeps it: lists where there were tuples.
    kept = json.loads(json.dumps(asdict(spec)))
    binding = Binding(path="p/m/power", endpoint="plc", namespace="urn:a", identifier="s=P")
    row = TagRow(tag=7, binding=binding, valid_from_us=0, valid_to_us=None)
    config = bindings.config_of("plc", kept, [row])
    assert (config.bridge_s, config.redundancy, config.publishing_ms) == (60.0, "hot", 200.0)
    assert config.spares == ("opc.tcp://h:2",)
    assert (config.heartbeat, config.heartbeat_s) == ("nsu=urn:a;s=Beat", 30.0)
    (item,) = config.items
    assert (item.deadband, item.deadband_percent, item.group) == (2.0, True, "p/m")
    assert config == bindings.config_of("plc", kept, [row])


@pytest.mark.parametrize("heartbeat", ["ns=2;s=Beat", "Beat", "nsu=urn:a;Beat"])
def test_a_heartbeat_that_is_no_node_is_refused(heartbeat):
    with pytest.raises(InputError, match="is no node"):
        EndpointConfig(id="plc", url="opc.tcp://h:1", allow_insecure=True, heartbeat=heartbeat)
