"""Where everything lies inside a data folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

SECRETS: Final = "secrets"
"""Folder of the passwords of endpoints, in the data folder or in that of a gateway."""
SESSIONS: Final = "session-slots"
"""Folder where sessions to servers are counted, in the data folder or in that of a gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFolder:
    """The folder of one installation; every path below it is named here and nowhere else."""

    root: Path

    @property
    def ray_token(self) -> Path:
        """Token of our own Ray, 0600."""
        return self.root / "ray" / "token"

    @property
    def processes(self) -> Path:
        """Record of the processes that belong to a running service."""
        return self.root / "run" / "processes.json"

    @property
    def clock(self) -> Path:
        """Park clock of the demo, kept over restarts."""
        return self.root / "run" / "clock.json"

    @property
    def settings(self) -> Path:
        """What the supervisor asked the service to run."""
        return self.root / "run" / "service.json"

    @property
    def logs(self) -> Path:
        """Folder of the log files."""
        return self.root / "logs"

    @property
    def plant_output(self) -> Path:
        """What a demo's virtual plant prints."""
        return self.logs / "plant.out"

    @property
    def pki(self) -> Path:
        """Own and trusted certificates of the gateways."""
        return self.root / "pki"

    @property
    def secrets(self) -> Path:
        """Passwords of endpoints, one file each; nothing else may be named by a reference."""
        return self.root / SECRETS

    @property
    def opcua_pki(self) -> Path:
        """Own certificate of the twin's OPC UA server, and the clients it trusts."""
        return self.root / "opcua" / "pki"

    @property
    def sessions(self) -> Path:
        """Who has a session to which server, over all processes."""
        return self.root / SESSIONS

    @property
    def runs(self) -> Path:
        """Outcomes of what-if runs."""
        return self.root / "runs"

    def shard(self, park: str) -> Path:
        """Journal and snapshot of a park."""
        return self.root / "parks" / park / "shard"

    def memory(self, park: str) -> Path:
        """Sealed tables of a park."""
        return self.root / "parks" / park / "memory"

    def wanted(self, park: str) -> Path:
        """What a park is to be, for the processes of its twin."""
        return self.root / "parks" / park / "wanted.json"

    def assignments(self, park: str) -> Path:
        """Which gateway reads which endpoint of a park."""
        return self.root / "parks" / park / "gateways.json"

    def restored(self, park: str) -> Path:
        """Mark of a memory that was restored without a journal."""
        return self.root / "parks" / park / "restored"

    def buffer(self, source: str) -> Path:
        """Disk buffer of a gateway."""
        return self.root / "gateways" / source

    def plant(self, park: str) -> Path:
        """State of the virtual plant of a park."""
        return self.root / "plant" / park

    def make(self) -> None:
        """Create the root, readable by its owner alone."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.ray_token.parent, self.processes.parent, self.logs, self.secrets):
            folder.mkdir(mode=0o700, exist_ok=True)
