"""Properties are judged by what they say, not by how long an example takes to compile."""

from hypothesis import settings

settings.register_profile("models", deadline=None)
settings.load_profile("models")
