"""The park file: its schema, its strict reading and its checks."""
