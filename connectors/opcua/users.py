"""Who we are to a server: nobody, a user with a password, or a user with a certificate."""

from datetime import datetime

from asyncua.client.client import Client
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from connectors.opcua.certificates import read_certificate
from connectors.opcua.config import EndpointConfig
from connectors.opcua.security import secret, secret_bytes
from models.errors import InputError

_LEAST_BITS = 2048


def log_in(client: Client, config: EndpointConfig, now: datetime) -> None:
    """Give a client the user of its endpoint, before it connects.

    Raises
    ------
    InputError
        When a password, certificate or key cannot be read, or does not fit.
    """
    if config.user_certificate:
        certificate = user_certificate(secret_bytes(config.user_certificate, "user_certificate"))
        check_user(certificate, now)
        passphrase = secret(config.password).encode() if config.password else None
        key = user_key(
            secret_bytes(config.user_key, "user_key", private=True), passphrase, certificate
        )
        client.user_certificate, client.user_private_key = certificate, key
    elif config.user:
        client.set_user(config.user)
        client.set_password(secret(config.password) if config.password else "")


def user_certificate(data: bytes) -> x509.Certificate:
    """A certificate in PEM or DER.

    Raises
    ------
    InputError
        When it is none.
    """
    try:
        return read_certificate(data)
    except ValueError as fault:
        raise InputError(
            "it holds no certificate", "give one in PEM or DER", "user_certificate"
        ) from fault


def check_user(certificate: x509.Certificate, now: datetime) -> None:
    """Refuse a certificate no server would take today.

    Raises
    ------
    InputError
        When it is not valid now.
    """
    if certificate.not_valid_after_utc <= now:
        raise InputError(
            f"the user's certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
            "have a new one issued for this user",
            "user_certificate",
        )
    if certificate.not_valid_before_utc > now:
        raise InputError(
            "the user's certificate is valid only from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            "check the clock of this machine",
            "user_certificate",
        )


def user_key(
    data: bytes, passphrase: bytes | None, certificate: x509.Certificate
) -> rsa.RSAPrivateKey:
    """The key of a user's certificate, in PEM or DER.

    Raises
    ------
    InputError
        When it is none, its passphrase is wrong or missing, or it belongs to another certificate.
    """
    load = load_pem_private_key if b"-----BEGIN" in data else load_der_private_key
    try:
        key = load(data, passphrase)
    except TypeError as fault:
        raise InputError(
            "the user's key is encrypted"
            if passphrase is None
            else "the user's key has no passphrase",
            "give its passphrase as password" if passphrase is None else "leave the password out",
            "password",
        ) from fault
    except ValueError as fault:
        raise InputError(
            "the user's key cannot be read", "check the file and its passphrase", "user_key"
        ) from fault
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _LEAST_BITS:
        raise InputError(
            "the user's key is no RSA key of 2048 bits or more", "make a new one", "user_key"
        )
    if key.public_key() != certificate.public_key():
        raise InputError(
            "the user's key belongs to another certificate", "give the pair", "user_key"
        )
    return key
