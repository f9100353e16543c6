"""What a shard remembers: sealed samples, rollups, coverage and snapshots on the local disk."""
