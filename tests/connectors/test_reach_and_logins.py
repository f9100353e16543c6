"""Where endpoints may lie, how users log in, and secrets of the keyring, without a network."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from connectors.opcua import security
from connectors.opcua.config import MODES, POLICIES, EndpointConfig, endpoint_config
from connectors.opcua.reach import PRIVATE, Reach, reach_of
from connectors.opcua.refusals import REFUSALS
from connectors.opcua.security import secret, secret_bytes
from models.errors import InputError, Refused, Unavailable
from twin.parkfile.load import load_park

URL = "opc.tcp://10.0.0.5:4840"


def secure(**more) -> EndpointConfig:
    return EndpointConfig(id="p", url=URL, **({"policy": "Basic256Sha256", "mode": "Sign"} | more))


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("opc.tcp://8.8.8.8:4840", "outside the allowed networks"),
        ("opc.tcp://169.254.169.254:4840", "outside the allowed networks"),
        ("opc.tcp://[2001:db8::1]:4840", "outside the allowed networks"),
        ("opc.tcp://[::ffff:8.8.8.8]:4840", "outside the allowed networks"),
        ("opc.tcp://10.0.0.5:80", "port 80 is not allowed, only 1024-65535"),
    ],
)
async def test_other_networks_and_ports_are_refused_with_the_setting_to_change(url, word):
    with pytest.raises(Refused, match=word) as caught:
        await Reach().resolve(url)
    assert "PARKTWIN_OPCUA_" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "held"),
    [("::ffff:10.0.0.5", True), ("::ffff:8.8.8.8", False), ("fd00::5%eth0", True), ("::5", False)],
)
def test_an_address_of_ipv4_is_the_same_one_where_it_is_written_as_ipv6(address, held):
    assert Reach().holds(address) is held


async def test_the_settings_widen_and_narrow_what_may_be_reached():
    wide = reach_of("private,203.0.113.0/24", "102,4840-4850")
    assert wide.networks == (*PRIVATE, "203.0.113.0/24")
    assert wide.ports == ((102, 102), (4840, 4850))
    assert await wide.resolve("opc.tcp://203.0.113.9:102") == ("203.0.113.9", 102)
    with pytest.raises(Refused):
        await wide.resolve("opc.tcp://203.0.113.9:4851")
    only = reach_of("10.1.0.0/16", "")
    assert await only.resolve("opc.tcp://10.1.2.3:4840") == ("10.1.2.3", 4840)
    with pytest.raises(Refused):
        await only.resolve("opc.tcp://127.0.0.1:4840")
    assert reach_of("", "") == Reach()


@pytest.mark.parametrize("text", ["everything", "10.0.0.1/8", "::/129"])
def test_what_is_no_network_is_told(text):
    with pytest.raises(InputError, match="PARKTWIN_OPCUA_NETWORKS"):
        reach_of(text, "")


@pytest.mark.parametrize("text", ["0", "65536", "5-4", "http", "1-2-3", "٤٨"])
def test_what_is_no_port_is_told(text):
    with pytest.raises(InputError, match="PARKTWIN_OPCUA_PORTS"):
        reach_of("", text)


async def test_a_name_nobody_knows_is_told():
    with pytest.raises(Unavailable, match="is not known"):
        await Reach().resolve("opc.tcp://plc.invalid:4840")


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"policy": "None", "mode": "None", "allow_insecure": True, "user": "u"}, "plain text"),
        (
            {
                "policy": "None", "mode": "None", "allow_insecure": True,
                "user_certificate": "file:c", "user_key": "file:k",
            },
            "plain text",
        ),
        ({"user": "u", "user_certificate": "file:c", "user_key": "file:k"}, "or by certificate"),
        ({"user_certificate": "file:c"}, "comes with its key"),
        ({"user_key": "file:k"}, "comes with its key"),
        ({"user_certificate": "file:c", "user_key": "s3cret"}, "by reference only"),
        ({"user": "u", "password": "s3cret"}, "by reference only"),
        ({"policy": "Basic256", "mode": "Sign"}, "policy 'Basic256'"),
        ({"policy": "None", "mode": "None"}, "security None is not allowed"),
    ],
)  # fmt: skip
def test_a_login_that_says_too_much_or_too_little_is_refused(given, word):
    with pytest.raises(InputError, match=word) as caught:
        secure(**given)
    assert "s3cret" not in str(caught.value)


def test_the_keyring_is_asked_for_our_own_service_only(monkeypatch):
    kept = {("parktwin", "plc1"): "s3cret"}
    ring = SimpleNamespace(get_password=lambda service, name: kept.get((service, name)))
    monkeypatch.setitem(sys.modules, "keyring", ring)
    monkeypatch.setattr(security.importlib.util, "find_spec", lambda name: object())
    assert secret("keyring:plc1") == "s3cret"
    assert secret_bytes("keyring:plc1", "user_key") == b"s3cret"
    with pytest.raises(InputError, match="keyring set parktwin plc2"):
        secret("keyring:plc2")


def test_a_keyring_that_is_not_there_or_locked_is_told(monkeypatch):
    monkeypatch.setattr(security.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install keyring"):
        secret("keyring:plc1")

    def locked(service, name):
        raise RuntimeError("s3cret")

    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=locked))
    monkeypatch.setattr(security.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(InputError, match="write file:NAME") as caught:
        secret("keyring:plc1")
    assert "s3cret" not in str(caught.value)


def test_every_refusal_of_a_server_has_a_cause_and_a_remedy_of_its_own():
    causes = [cause for cause, _ in REFUSALS.values()]
    assert all(cause and remedy for cause, remedy in REFUSALS.values())
    # Two codes say the same: a wrong password and an unknown user cannot be told apart, on purpose.
    same = {cause for cause in causes if causes.count(cause) > 1}
    assert same == {"the server refuses this user"}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("mode", MODES)
def test_a_park_file_may_name_every_policy_the_connector_speaks(policy, mode, tmp_path):
    minimal = Path(__file__).parents[2] / "examples" / "minimal.yaml"
    text = minimal.read_text(encoding="utf-8")
    secured = tmp_path / "park.yaml"
    secured.write_text(text.replace("allow_insecure: true", f"security: {policy}/{mode}"), "utf-8")
    park = load_park(secured)
    config = endpoint_config(park.endpoints["plc"], ())
    assert (config.policy, config.mode) == (policy, mode)
