"""Write `key.py` anew after a change of the words: `python -m dashboard.words`."""

from pathlib import Path

from dashboard.words.book import key_module

if __name__ == "__main__":
    (Path(__file__).parent / "key.py").write_text(key_module())
