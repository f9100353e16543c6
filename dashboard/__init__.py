"""Words and colours for people: pages and the command line."""
