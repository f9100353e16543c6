"""Pure functions from tables to plotly figures as plain dicts."""
