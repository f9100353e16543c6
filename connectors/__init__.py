"""Addresses: OPC UA endpoints, node ids, certificates, the gateway and the virtual plant."""
