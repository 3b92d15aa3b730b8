"""On which line of a JSON file the entries of one of its lists stand."""

import json
import re
from bisect import bisect_right
from collections.abc import Sequence


def entry_lines(text: str, key: str, count: int) -> Sequence[int]:
    """The lines, counted from 1, of the ``count`` entries of the top-level list ``key``.

    Args:
        text: a valid JSON document.

    Returns:
        ``count`` numbers; all 1 where the list cannot be told from another of the same key.
    """
    newlines = [match.start() for match in re.finditer("\n", text)]
    for match in re.finditer(rf'"{re.escape(key)}"\s*:\s*\[', text):
        starts = _entry_starts(text, match.end())
        if len(starts) == count:
            return [bisect_right(newlines, start) + 1 for start in starts]
    return [1] * count


def _entry_starts(text: str, position: int) -> list[int]:
    """Where the entries of the list begin whose bracket ends before ``position``."""
    decoder, between = json.JSONDecoder(), re.compile(r"[\s,]*")
    starts: list[int] = []
    while True:
        match = between.match(text, position)
        position = match.end() if match else position
        if position >= len(text) or text[position] == "]":
            return starts
        starts.append(position)
        try:
            _, position = decoder.raw_decode(text, position)
        except ValueError:  # the key stood inside a text
            return []
