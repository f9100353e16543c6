"""Pages: a layout and its wiring, explicitly composed by the app."""
