"""A load generator that knows what it sent: OPC UA messages of many values, and their audit."""
