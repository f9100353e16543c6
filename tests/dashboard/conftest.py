"""The fake park for the tests of the pages."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
