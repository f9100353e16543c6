"""Benches: figures of whole capabilities beside a peer, measured in the same run."""
