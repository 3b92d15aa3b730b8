"""Class names that the figure library can draw: any script, any length, no markup."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font

BASE = "DejaVu Sans"
_WIDE_COVERAGE = ("cjk", "noto", "han", "gothic", "hei", "song", "ming", "unicode", "nanum")


@dataclass(frozen=True)
class Lettering:
    """How class names are written in figures.

    Attributes:
        names: one drawable name per class; "class 3" where no installed font has the characters.
        families: font families in order of preference, for ``family=``.
    """

    names: tuple[str, ...]
    families: list[str]


def lettering(classes: Sequence[str], available: Sequence[str] | None = None) -> Lettering:
    """Drawable names for these classes, with the fonts that draw them.

    Args:
        classes: names in any script.
        available: font families to search for what the base font lacks; by default the installed ones.
    """
    clean = [visible(name) for name in classes]
    found = _covering_fonts(frozenset("".join(clean)), available)
    families = [BASE, *found]
    covered = [_characters(family) for family in families]
    names = tuple(
        name if all(any(ord(c) in characters for characters in covered) for c in name) else f"class {k}"
        for k, name in enumerate(clean, start=1)
    )
    return Lettering(names, families)


def visible(text: str) -> str:
    """``text`` on one line without control, direction and surrogate characters."""
    kept = (" " if c.isspace() else "\ufffd" if unicodedata.category(c)[0] == "C" else c for c in text)
    return "".join(kept)


def drawable(text: str, families: Sequence[str]) -> str:
    """``visible(text)`` with a replacement sign for each character that none of the fonts has."""
    covered = [_characters(family) for family in families]
    return "".join(c if any(ord(c) in found for found in covered) else "\ufffd" for c in visible(text))


def shorten(text: str, width: int) -> str:
    """``text`` cut in the middle to at most ``width`` columns; a CJK character takes two."""
    if columns(text) <= width:
        return text
    head = tail = ""
    while True:
        grow_head = columns(head) <= columns(tail)
        following = text[len(head)] if grow_head else text[-len(tail) - 1]
        if columns(head + tail + following) > width - 1:
            return f"{head}…{tail}"
        head, tail = (head + following, tail) if grow_head else (head, following + tail)


def columns(text: str) -> int:
    """How many character columns ``text`` takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _covering_fonts(needed: frozenset[str], available: Sequence[str] | None) -> list[str]:
    """The families that together draw what the base font lacks, as far as there are any."""
    missing = {ord(c) for c in needed} - _characters(BASE)
    families: list[str] = []
    if not missing:
        return families
    for family in _candidates() if available is None else available:
        gained = missing & _characters(family)
        if gained:
            families.append(family)
            missing -= gained
        if not missing:
            break
    return families


_REGULAR = (400, "normal", "regular")


def _candidates() -> list[str]:
    """Installed regular families, those that cover many scripts first; the library's own add nothing."""
    own = ("DejaVu", "STIX", "cm", "Last Resort")
    regular = {
        entry.name
        for entry in fontManager.ttflist
        if entry.style == "normal" and entry.weight in _REGULAR and not entry.name.startswith(own)
    }
    return sorted(regular, key=lambda name: (not any(part in name.lower() for part in _WIDE_COVERAGE), name))


@lru_cache(maxsize=256)
def _characters(family: str) -> frozenset[int]:
    upright = [entry for entry in fontManager.ttflist if entry.name == family and entry.style == "normal"]
    # The library lists a family's weights in any order, and the bold one may lack characters.
    upright.sort(key=lambda entry: (entry.weight not in _REGULAR, entry.fname))
    try:
        return frozenset(FT2Font(upright[0].fname).get_charmap()) if upright else frozenset()
    except (OSError, RuntimeError):
        return frozenset()
