"""Who may write is read from the park file, for the nodes and paths it binds and no others."""

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.config_json import config_from, plain_of
from connectors.opcua.config import endpoint_config
from models.errors import InvalidInput
from twin.parkfile.load import read_park
from twin.tags import Binding, TagRow

EXAMPLE = (Path(__file__).parents[2] / "examples" / "minimal.yaml").read_text("utf-8")
METHOD = "nsu=urn:a;s=Line 1 nsu=urn:a;s=Reset"
FILE = f"""
  - id: plc
    url: opc.tcp://127.0.0.1:4840
    allow_insecure: true
    callable_by: {{"{METHOD}": [operator, engineer]}}
    map:
      - {{match: "nsu=urn:a;s={{machine}}.Power", to: "acme/hall/l1/{{machine}}/active_power", writable_by: [operator]}}
      - {{match: "nsu=urn:a;s={{machine}}.T", to: "acme/hall/l1/{{machine}}/temperature"}}
"""  # noqa: E501 - YAML in one line, as in the example it follows


def with_endpoint(text):
    """The example park with this endpoint in place of its own."""
    return EXAMPLE.partition("endpoints:")[0] + f"endpoints:{text}"


def row(tag, identifier, path):
    binding = Binding(
        path=f"small/{path}", endpoint="plc", namespace="urn:a", identifier=identifier
    )
    return TagRow(tag=tag, binding=binding, valid_from_us=0)


def config_of(*rows):
    park = read_park(with_endpoint(FILE), "park.yaml")
    return endpoint_config(park.endpoints["plc"], rows)


def test_only_what_the_file_binds_may_be_written():
    power = "acme/hall/l1/p01/active_power"
    config = config_of(
        row(1, "s=p01.Power", power),
        row(2, "s=p01.T", "acme/hall/l1/p01/temperature"),
        # Mapped at run time: another node to the path that may be written, and the other way round.
        row(3, "s=Safety", power),
        row(4, "s=p01.Power", "acme/hall/l1/p02/active_power"),
        row(5, "s=p01.Power", f"{power}_limit"),
    )
    assert [sorted(item.writable_by) for item in config.items] == [["operator"], [], [], [], []]
    assert dict(config.callable_by) == {METHOD: frozenset({"operator", "engineer"})}
    again = config_from(plain_of(config))
    assert [item.writable_by for item in again.items] == [i.writable_by for i in config.items]
    assert again.callable_by == config.callable_by


def test_other_roles_are_no_other_reading_so_that_no_session_is_ended_for_them():
    power = row(1, "s=p01.Power", "acme/hall/l1/p01/active_power")
    allowed = config_of(power)
    nobody = replace(
        allowed, callable_by=(), items=(replace(allowed.items[0], writable_by=frozenset()),)
    )
    assert allowed.items[0].writable_by != nobody.items[0].writable_by
    assert allowed == nobody


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("url: opc", "gateway: hall-2\n    url: opc", "in the plant writes and calls nothing"),
        ("s={machine}.Power", "s=*.{machine}.Power", "a rule cannot say who may write"),
        ("[operator]}", "[Operator]}", "writable_by"),
        (METHOD, "Reset", "callable_by"),
    ],
)
def test_what_cannot_be_allowed_is_told_by_the_check(was, now, told):
    with pytest.raises(InvalidInput) as fault:
        read_park(with_endpoint(FILE.replace(was, now)), "park.yaml")
    assert told in str(fault.value)
