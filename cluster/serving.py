"""The service of a supervisor's settings, its engine starting at once."""

from pathlib import Path

from cluster import logs
from cluster.service import Service
from cluster.settings import ServiceSettings


def service(path: Path) -> Service:
    """Read the settings, set up logging, and start Ray beside whatever comes next."""
    settings = ServiceSettings.read(path)
    logs.configure(settings.folder.logs, "service", settings.log_level, settings.log_style)
    made = Service(settings)
    made.prepare()
    return made
