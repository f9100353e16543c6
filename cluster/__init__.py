"""Processes and clocks: Ray actors, jobs, the metadata store, HTTP routes and supervision."""
