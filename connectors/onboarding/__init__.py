"""From an address space to tags of a park: matching, lint, rules and tag lists; no socket."""
