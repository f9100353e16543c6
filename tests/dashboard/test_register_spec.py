"""What was typed about a server in the wizard."""

import pytest

from cluster.ports import InputError
from dashboard.pages.register_spec import FORM, settled, spec_of


def typed(**given: str) -> list[str | None]:
    return [given.get(name, "") for name in FORM]


def test_an_address_behind_a_gateway_says_which_plant_it_is_in():
    spec = spec_of(typed(id="press", url=" hall-2@opc.tcp://10.0.0.5:4840 "))
    assert (spec.gateway, spec.url) == ("hall-2", "opc.tcp://10.0.0.5:4840")
    assert spec.address == "hall-2@opc.tcp://10.0.0.5:4840"
    here = spec_of(typed(id="press", url="opc.tcp://10.0.0.5:4840"))
    assert (here.gateway, here.address) == ("", here.url)
    odd = spec_of(typed(id="press", url="me@plc"))
    assert (odd.gateway, odd.url) == ("", "me@plc")


def test_what_one_plant_offers_says_nothing_of_the_same_number_in_another():
    form = typed(id="press", url="hall-2@opc.tcp://10.0.0.5:4840")
    tried = {"url": "hall-2@opc.tcp://10.0.0.5:4840", "security": "Basic256Sha256/Sign"}
    assert settled(form, tried | {"passed": "yes"}).policy == "Basic256Sha256"
    with pytest.raises(InputError, match="nobody has asked this server"):
        settled(form, tried | {"url": "hall-3@opc.tcp://10.0.0.5:4840", "passed": "yes"})
