"""Certificates that expire: from what a server shows, over a gateway's status, to an alarm."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cluster.expiries import Expiries
from cluster.ports import EndpointState, EndpointStatus
from cluster.routes.ingest import HelloBody
from connectors.opcua.expiry import with_expiry
from connectors.opcua.own_certificate import OWN_DAYS, self_signed
from connectors.opcua.security import SERVER, Pki
from twin.park_logic import ParkLogic
from twin.parkfile.load import read_park
from twin.shard import Shard
from twin.sim_disk import SimDisk

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
NOW_US = round(NOW.timestamp()) * 1_000_000
DAY_US = 86_400_000_000
URI = "urn:plc:1"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RULES = """
rules:
  - {id: expired, when: endpoint.certificate_days <= 0, priority: high, group: certificate,
     label: {vi: hết hạn, en: expired}}
  - {id: expires, when: endpoint.certificate_days < 30, priority: low, group: certificate,
     label: {vi: sắp hết hạn, en: expires}}
  - {id: ours, when: park.own_certificate_days < 2000, priority: low,
     label: {vi: của ta, en: ours}}
"""
MINIMAL = (Path(__file__).parents[2] / "examples" / "minimal.yaml").read_text("utf-8")


def shown_by_server(pki, *, days, who="plc"):
    """What a server with a certificate that lasts so long is answered; it is trusted once seen."""
    begin = NOW - timedelta(days=OWN_DAYS - days)
    made = self_signed(URI, ("plc.local",), KEY, begin, SERVER)
    der = made.public_bytes(serialization.Encoding.DER)
    verdict = pki.judge(der, URI, NOW, who=who)
    if not verdict.ok and days > 0:
        pki.trust(verdict.fingerprint)
        verdict = pki.judge(der, URI, NOW, who=who)
    return verdict


def status(**more):
    wanted = {"security": "Basic256Sha256/Sign", "state": EndpointState.CONNECTED} | more
    return EndpointStatus(id="plc", url="opc.tcp://plc:4840", **wanted)


def test_what_a_server_shows_becomes_an_alarm_a_higher_one_when_expired_and_ends(tmp_path):
    pki, expiries = Pki(tmp_path), Expiries()
    park = read_park(MINIMAL.partition("\nrules:")[0] + RULES, "park.yaml")
    logic = ParkLogic(park, 2026)
    shard = Shard.open(Path("/s"), park.id, now_us=NOW_US, disk=SimDisk(), logic=(logic,))
    shard.apply_park(park.bindings, park.text, NOW_US)

    def active(later_s):
        at = NOW_US + later_s * 1_000_000
        # As a gateway in a plant says it: over JSON, with its hello.
        told = [asdict(one) for one in with_expiry([status()], pki, NOW)]
        hello = HelloBody.model_validate_json(
            orjson.dumps({"nonce": "n" * 16, "told": {park.id: told}})
        )
        news = expiries.news(hello.told[park.id], NOW_US)
        if news is not None:
            shard.command({"certificates": news}, at)
            expiries.told(news)
        shard.tick(at)
        return {a.id: a.state.value for a in logic.desk.alarms() if a.active}

    assert active(0) == {}  # nobody has seen a certificate yet
    assert shown_by_server(pki, days=20).ok
    assert active(1) == {"expires@plc": "unacknowledged", "ours@": "unacknowledged"}
    verdict = shown_by_server(pki, days=-1)
    assert (verdict.ok, verdict.reason[:7]) == (False, "expired")
    assert active(2) == {
        "expires@plc": "suppressed", "expired@plc": "unacknowledged", "ours@": "unacknowledged"
    }  # fmt: skip
    assert shown_by_server(pki, days=500).ok
    assert active(3) == {"ours@": "unacknowledged"}
    shard.close()


def test_the_twin_is_told_once_a_day_and_when_something_changed():
    expiries = Expiries()
    assert expiries.news([status()], NOW_US) is None
    half = DAY_US // 2
    known = [status(certificate_us=NOW_US + 20 * DAY_US + half, own_certificate_us=0)]
    news = expiries.news(known, NOW_US)
    assert news == {"endpoints": {"plc": 20.5}, "own": None}
    assert expiries.news(known, NOW_US) == news  # until the twin has taken it
    expiries.told(news)
    assert expiries.news(known, NOW_US + half) is None
    assert expiries.news(known, NOW_US + half + 1) is not None
    # A gateway that is away leaves what was known, an endpoint that is removed does not.
    assert expiries.news([status()], NOW_US) is None
    assert expiries.news([], NOW_US) == {"endpoints": {}, "own": None}


def test_our_own_is_the_first_to_expire_of_all_gateways():
    expiries = Expiries()
    two = [
        status(certificate_us=NOW_US + DAY_US, own_certificate_us=NOW_US + days * DAY_US)
        for days in (9, 4)
    ]
    assert expiries.news(two, NOW_US) == {"endpoints": {"plc": 1.0}, "own": 4.0}


def test_an_open_endpoint_has_no_certificate_and_ours_is_not_made_for_it(tmp_path):
    pki = Pki(tmp_path)
    told = [status(security="None")]
    assert with_expiry(told, pki, NOW) == told
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_ours_that_cannot_be_read_leaves_the_statuses(tmp_path):
    pki = Pki(tmp_path)
    assert shown_by_server(pki, days=20).ok
    pki.own(NOW).certificate.write_bytes(b"no certificate")
    (one,) = with_expiry([status()], pki, NOW)
    assert (one.certificate_us, one.own_certificate_us) == (NOW_US + 20 * DAY_US, None)
