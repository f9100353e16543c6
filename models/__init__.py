"""Numbers and equations of a park: no clock, no address, no process."""
