"""The virtual plant: real OPC UA servers with physics, noise and planted faults."""
