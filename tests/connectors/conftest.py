"""Where the tests of the connectors find their server, proxy and receiver."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
