"""What gateways in plants speak to, for the tests: a desk, a store and a door that are real."""

import datetime as dt
import ipaddress
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cluster import bindings
from cluster.door_settings import DoorSettings
from cluster.edge_link import Link, LinkSettings
from cluster.errands import Errands
from cluster.gateway_desk import GatewayDesk
from cluster.gateway_token import parse_token
from cluster.ingest_door import Door
from cluster.live_park import LivePark
from cluster.metadata.upgrade import open_store
from cluster.ports import Receipt
from cluster.settings import ParkSettings, ServiceSettings
from twin.parkfile.load import read_park
from twin.tags import TagDictionary

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "connectors"))
from floor_receiver import Receiver  # noqa: E402

POWER = "small/acme/hall/l1/p01/active_power"
FILE = (ROOT / "examples" / "minimal.yaml").read_text("utf-8")


class Live(LivePark):
    """A running park whose twin is its tag dictionary alone, and that reads nothing itself."""

    def __init__(self, folder: Path, park, store, errands) -> None:
        service = ServiceSettings(data=str(folder))
        service.folder.make()
        super().__init__(park, ParkSettings(file="park.yaml"), service, store, errands)
        self.tags = TagDictionary()
        self.tags.add_rows(self.tags.plan(park.bindings, 0)[0])
        self._learn(self.tags.rows)
        self._in_plants = bindings.in_plants(park, ())
        self.gateways.hold = self.gateways.look = self._nothing

    async def _nothing(self, *_):
        """The service's own gateways have nothing to do here."""

    async def ask(self, method, *arguments, **named):
        if method == "apply":
            store = self.store
            wanted = bindings.wanted(self.park, store.endpoints(self.id), store.mappings(self.id))
            rows, changes = self.tags.plan(wanted, self.now_us)
            self.tags.add_rows(rows)
            return changes
        return {"rows": self.tags.rows, "specs": ()}[method]


class Operations:
    """The desk, the store and the delivery rule are real; the twin is stood in for."""

    def __init__(self, folder: Path, park) -> None:
        self.store = open_store(folder, "")
        self.receiver, self.now_us = Receiver(), 1_800_000_000_000_000
        self.errands = Errands()
        self.live = Live(folder, park, self.store, self.errands)
        self.begin_again()
        rows = self.live.dictionary.open.values()
        self.tag = next(row.tag for row in rows if row.binding.path == POWER)

    def begin_again(self) -> None:
        """A service that was started anew: of errands it knows nothing any more."""
        self.errands = self.live.errands = Errands()
        self.desk = GatewayDesk(
            lambda _: self.live, [self.live.id], lambda: self.store, lambda: self.now_us,
            self.errands,
        )  # fmt: skip
        self.gateway_hello = self.desk.hello
        self.gateway_admit, self.gateway_known = self.desk.admit, self.desk.known

    async def gateway_errands(self, *told):
        return await self.desk.errands(*told)

    async def gateway_session(self, park, source, count=1):
        return self.store.next_session(f"{park}-{source}", self.now_us, count)

    async def ingest(self, park, source, session, seq, batch):
        answer = await self.receiver.deliver(source, session, seq, batch)
        return Receipt(session=answer.session, acked_seq=answer.acked_seq, expect=answer.expect)

    async def token(self, gateway="hall-2", days=1.0):
        return (await self.desk.issue(gateway, ["small"], days)).token


def park_of(url: str, gateway: str = "hall-2"):
    said = f"gateway: {gateway}, " if gateway else ""
    quick = f'id: plc, {said}sampling: 20 ms, publishing: 20 ms, url: "{url}"'
    text = FILE.replace('id: plc, url: "opc.tcp://127.0.0.1:48401"', quick)
    assert quick in text
    return read_park(text, "park.yaml")


def authority(folder: Path) -> tuple[Path, Path, Path]:
    """A CA and a certificate for 127.0.0.1 that it signed: CA, certificate, key."""
    folder.mkdir(exist_ok=True)
    now = dt.datetime.now(dt.UTC)

    def made(name, issuer, key, signer, *, ca):
        whole = x509.CertificateBuilder().subject_name(name).issuer_name(issuer)
        whole = whole.public_key(key.public_key()).serial_number(x509.random_serial_number())
        whole = whole.not_valid_before(now - dt.timedelta(hours=1))
        whole = whole.not_valid_after(now + dt.timedelta(days=1))
        whole = whole.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        whole = whole.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return whole.sign(signer, hashes.SHA256())

    def named(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = made(named("CA"), named("CA"), ca_key, ca_key, ca=True)
    own = made(named("service"), named("CA"), key, ca_key, ca=False)
    files = folder / "ca.pem", folder / "own.pem", folder / "own.key"
    for path, certificate in zip(files[:2], (ca, own), strict=True):
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[2].touch(mode=0o600)
    files[2].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def fingerprint(path: Path) -> str:
    return x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()


def door(operations, tls, port) -> Door:
    settings = DoorSettings(port=port, certificate=str(tls[1]), key=str(tls[2]))
    settings.check()
    return Door(operations, settings)


def link(port, token, folder, **more) -> Link:
    settings = LinkSettings(url=f"https://127.0.0.1:{port}", **more)
    return Link(settings, parse_token(token), folder / "service.pem")
