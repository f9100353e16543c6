"""OPC UA: sources, decoding, browsing, testing and security."""
