"""Addresses of servers that only a gateway in a plant can reach: ``hall-2@opc.tcp://10.0.4.21:4840``.

The same numbers mean another machine in another plant, so the gateway is a part of the address.
"""


def split_gateway(address: str) -> tuple[str, str]:
    """Gateway and address of ``gateway@opc.tcp://…``; no gateway where none is written."""
    gateway, at, url = address.partition("@")
    return (gateway, url) if at and url.startswith("opc.tcp://") else ("", address)


def with_gateway(gateway: str, url: str) -> str:
    """Inverse of `split_gateway`."""
    return f"{gateway}@{url}" if gateway else url
