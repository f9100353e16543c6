"""The twin as an OPC UA server: its figures, forecasts and alarms for any SCADA, read only."""
