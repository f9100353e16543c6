"""HTTP routes under /api/v1; each is a few lines: fetch, call, send."""
