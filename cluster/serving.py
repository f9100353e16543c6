"""The first steps of the service's process: settings, logging, and Ray starting at once."""

from pathlib import Path

from cluster import logs
from cluster.engine_start import EngineStart
from cluster.settings import ServiceSettings


def begin(path: Path) -> tuple[ServiceSettings, EngineStart]:
    """Read the settings, set up logging, and start Ray beside whatever comes next."""
    settings = ServiceSettings.read(path)
    logs.configure(settings.folder.logs, "service", settings.log_level, settings.log_style)
    return settings, EngineStart(settings)
