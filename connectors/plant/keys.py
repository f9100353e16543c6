"""Key pairs of the plant's servers: made once, readable by their owner only."""

import os
import socket
from pathlib import Path

from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

KEY = "plant_key.pem"
CERTIFICATE = "plant_cert.der"


async def ensure_keys(folder: Path, application_uri: str) -> Path:
    """Make a self-signed pair in a folder unless it has one.

    Returns
    -------
    Path
        The folder, mode 0700, with ``plant_key.pem`` (0600) and ``plant_cert.der``.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # noqa: ASYNC240 - once, at the start
    before = os.umask(0o077)
    try:
        await setup_self_signed_certificate(
            folder / KEY,
            folder / CERTIFICATE,
            application_uri,
            socket.gethostname(),
            [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
            {"organizationName": "Virtual plant", "commonName": application_uri},
        )
    finally:
        os.umask(before)
    (folder / KEY).chmod(0o600)
    return folder
