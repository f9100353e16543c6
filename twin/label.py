"""A text in both languages of the user interface."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The same text in Vietnamese and in English; neither is a fallback of the other."""

    vi: str
    en: str

    def of(self, language: str) -> str:
        """The text in a language: ``vi`` or ``en``."""
        return self.vi if language == "vi" else self.en


NO_LABEL: Final = Label(vi="", en="")
