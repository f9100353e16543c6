"""The words of the user interface, Vietnamese and English, in one place."""
