"""What is true in a park: samples, tags, memory, state, KPIs, alarms, scenarios and outcomes."""
