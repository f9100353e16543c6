"""What was typed about a server, as the service takes it.

An address behind a gateway in a plant is written with it: ``hall-2@opc.tcp://10.0.0.5:4840``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from dash import State

from cluster.plant_address import split_gateway
from cluster.ports import EndpointSpec, InputError, Label

FORM: Final = (
    *("id", "url", "label", "policy", "user", "password", "user_certificate", "user_key"),
    "time_policy",
)
STRONGEST: Final = "strongest"
"""No policy is named: the strongest the server offers is taken, and none is never."""
Tried = dict[str, str]
"""What a test knows: its name, the address, the security it was made with, and how it stands."""


def spec_of(
    values: Sequence[str | None], mapping: Sequence[Mapping[str, str]] = ()
) -> EndpointSpec:
    """Return what was typed as a spec."""
    typed = {name: (value or "").strip() for name, value in zip(FORM, values, strict=True)}
    label = typed["label"] or typed["id"]
    policy = typed["policy"] or STRONGEST
    gateway, url = split_gateway(typed["url"])
    return EndpointSpec(
        id=typed["id"],
        url=url,
        gateway=gateway,
        label=Label(vi=label, en=label),
        policy=policy,
        mode="None" if policy == "None" else "SignAndEncrypt",
        allow_insecure=policy == "None",
        user=typed["user"],
        password=typed["password"],
        user_certificate=typed["user_certificate"],
        user_key=typed["user_key"],
        time_policy=typed["time_policy"] or "source",
        mapping=tuple(mapping),
    )


def settled(typed: Sequence[str | None], tried: Tried) -> EndpointSpec:
    """Return the spec with the security a test has found, where none was chosen.

    Raises
    ------
    InputError
        When nobody has asked the server yet what it offers.
    """
    spec = spec_of(typed)
    if not spec.url:
        raise InputError("there is no address", "write opc.tcp://host:4840", "url")
    if spec.policy != STRONGEST:
        return spec
    if tried.get("url") != spec.address or not tried.get("passed"):
        raise InputError(
            "nobody has asked this server yet what it offers",
            "test it first, or choose a security policy",
            "policy",
        )
    return with_security(spec, tried["security"])


def with_security(spec: EndpointSpec, security: str) -> EndpointSpec:
    """Return the spec with a policy and mode as a server names them."""
    policy, _, mode = security.partition("/")
    return replace(spec, policy=policy, mode=mode)


def typed_states() -> list[State]:
    """Return the fields of the form, in the order of `FORM`."""
    return [State(f"ep-{name}", "value", allow_optional=True) for name in FORM]
