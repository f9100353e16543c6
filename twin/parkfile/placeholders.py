"""Placeholders of mappings: ``{name}`` is one segment of a path, ``{name**}`` one or more.

Apart from the mappings themselves, because a gateway reads them too and starts without the rest.
"""

import re
from typing import Final

PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)(\*\*)?\}")


def pattern_of(template: str) -> re.Pattern[str]:
    """Pattern of a template; a placeholder stands for the same text wherever it is."""
    seen: set[str] = set()
    text, at = "", 0
    for found in PLACEHOLDER.finditer(template):
        name, many = found.groups()
        segments = "[a-z0-9_/]+" if many else "[a-z0-9_]+"
        text += re.escape(template[at : found.start()])
        text += f"(?P={name})" if name in seen else f"(?P<{name}>{segments})"
        seen.add(name)
        at = found.end()
    return re.compile(text + re.escape(template[at:]))


def paired(match: str, to: str) -> re.Pattern[str]:
    """Pattern of ``node``, a line break and ``path below the park``, as a mapping binds them."""
    return pattern_of(f"{match}\n{to}")
