"""Class names under the spellings found in the wild: the six of the NEU database, and those that name no defect.

NEU: K. Song and Y. Yan, Applied Surface Science 285 (2013) 858-864.
"""

import re
from collections.abc import Iterable

NEU_CLASSES = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")

_ALIASES = {
    "cr": "crazing",
    "crazing": "crazing",
    "in": "inclusion",
    "inclusion": "inclusion",
    "pa": "patches",
    "patches": "patches",
    "ps": "pitted_surface",
    "pitted": "pitted_surface",
    "pitted_surface": "pitted_surface",
    "rs": "rolled-in_scale",
    "rolled": "rolled-in_scale",
    "rolled_in_scale": "rolled-in_scale",
    "sc": "scratches",
    "scratch": "scratches",
    "scratches": "scratches",
}

GOOD_NAMES = frozenset({
    "good", "ok", "normal", "free", "mt_free", "clean", "perfect", "pass", "passed", "intact", "undamaged",
    "no_defect", "no_defects", "nodefect", "non_defect", "non_defective", "nondefective", "without_defect",
    "defect_free", "defectfree", "free_of_defects", "no_anomaly", "anomaly_free", "negative",
})  # fmt: skip
"""Names of classes that are no defect, lower case, words joined by underscores."""


def neu_class(name: str) -> str | None:
    """The canonical NEU class that ``name`` spells (``"Cr"``, ``"Pitted surface"``), or None."""
    return _ALIASES.get(_plain(name))


def is_good(name: str) -> bool:
    """Does this class name say "no defect" (``"Good"``, ``"MT_Free"``, ``"no defect"``)?"""
    return _plain(name) in GOOD_NAMES


def canonical_names(classes: Iterable[str]) -> dict[str, str]:
    """What each class is called from here on.

    The six NEU names where EVERY class is a spelling of one of them; otherwise each name as it stands.
    Two spellings of one class ("Cr", "crazing") become one.
    """
    names = list(classes)
    neu = {name: neu_class(name) for name in names}
    return {name: neu[name] or name if all(neu.values()) else name for name in names}


def prefix_of(stem: str) -> str | None:
    """The class part of a numbered file name: ``"Cr_1"`` → ``"Cr"``; None without a number."""
    match = re.fullmatch(r"(.*[^\s_\d-])[\s_-]*\d+", stem)
    return match.group(1) if match else None


def original_stem(stem: str) -> str:
    """The name before Roboflow exported it: ``"crazing_1_jpg.rf.0a1b…"`` → ``"crazing_1"``."""
    return re.sub(r"(_(jpe?g|png|bmp|tiff?|webp))?\.rf\.\w+$", "", stem, flags=re.IGNORECASE)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().lower())
