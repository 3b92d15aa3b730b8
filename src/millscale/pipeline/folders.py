"""Images copied into one folder a kind: naming a folder makes a class of it."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from millscale.core.errors import UsageError
from millscale.data.convert import require_folder_names


def require_empty(out: Path, option: str = "--out") -> None:
    """Refuse a folder that holds something.

    Raises:
        UsageError: it does, or it is a file.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: expected a new or empty folder, found files in it. Name another with {option}.")


def copy_into_folders(out: Path, kinds: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """Copy each kind's images into ``out/KIND``; files of one name get a number in front.

    Returns:
        The folder of each kind.

    Raises:
        DataError: a kind whose name cannot be a folder's.
    """
    require_folder_names(kinds)
    names = Counter(path.name for images in kinds.values() for path in images)
    number, folders = 0, {}
    for kind, images in kinds.items():
        folders[kind] = out / kind
        folders[kind].mkdir(parents=True, exist_ok=True)
        for path in images:
            shutil.copyfile(path, folders[kind] / (path.name if names[path.name] == 1 else f"{number:05}_{path.name}"))
            number += 1
    return folders
