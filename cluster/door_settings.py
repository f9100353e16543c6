"""Where gateways in plants deliver: an address, and the certificate it shows."""

import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from cluster.settings import LOOPBACK, ServiceSettings
from models.errors import InputError, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorSettings:
    """Where gateways in plants deliver.

    Parameters
    ----------
    port
        Port; 0 for no door.
    host
        Address to listen at.
    certificate, key
        PEM files of the server's certificate with its chain, and of its key.
    """

    port: int = 0
    host: str = "127.0.0.1"
    certificate: str = ""
    key: str = ""

    def check(self) -> None:
        """Refuse what would not work, or would be open, before anything starts.

        Raises
        ------
        InputError, Refused
            With the option at fault.
        """
        if not self.port:
            if self.certificate or self.key:
                raise InputError(
                    "a certificate without a door", "say --ingest-port too", "tls-cert"
                )
            return
        if bool(self.certificate) != bool(self.key):
            raise InputError("a certificate comes with its key", "give both", "tls-cert")
        if not self.certificate:
            if self.host not in LOOPBACK:
                raise Refused(
                    f"{self.host} would take tokens in plain text",
                    "give --tls-cert and --tls-key, or let a proxy with TLS ask 127.0.0.1",
                )
            return
        self._check_files()

    def _check_files(self) -> None:
        try:
            mode = Path(self.key).stat().st_mode
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as fault:
            raise InputError(
                f"{self.certificate} and {self.key} are no certificate with its key ({fault})",
                "give PEM files; the key without a passphrase",
                "tls-cert",
            ) from fault
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Refused(f"{self.key} may be read by others", f"chmod 600 {self.key}")


def door_of(settings: ServiceSettings) -> DoorSettings:
    """The door of a service."""
    return DoorSettings(
        port=settings.ingest_port,
        host=settings.ingest_host,
        certificate=settings.tls_cert,
        key=settings.tls_key,
    )
