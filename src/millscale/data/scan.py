"""What lies in a data folder: images, folders and other files, each once, links and loops included."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from millscale.core.errors import DataError
from millscale.core.types import Problem
from millscale.imaging.decode import SUFFIXES

IMAGE_FOLDERS = frozenset({"images", "image", "imgs", "img", "jpegimages"})
_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Scan:
    """A folder's content.

    Attributes:
        root: the folder that the paths below are relative to.
        images: files whose ending is an image's, sorted.
        folders: every folder, sorted.
        others: every other file that is not clutter of an operating system, sorted.
        problems: what could not be listed, and links that lead back inside.
    """

    root: Path
    images: tuple[PurePosixPath, ...]
    folders: tuple[PurePosixPath, ...]
    others: tuple[PurePosixPath, ...]
    problems: tuple[Problem, ...]


def scan(root: Path) -> Scan:
    """List everything below ``root``.

    A linked folder is followed only where it leads outside ``root`` and not to a folder above it, so nothing
    is counted twice and no loop is entered; a linked image is left out where the image itself is listed.

    Raises:
        DataError: ``root`` is missing or is not a folder.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise DataError(f"{root}: expected a folder of images, found {found} there. Check the path.")
    if not _encodable(str(root.resolve())):
        raise DataError(f"{str(root)!a}: expected a folder whose path is text, found other bytes. Rename it.")
    walk = _Walk(root)
    walk.visit(root, PurePosixPath())
    images = sorted(walk.without_linked_copies())
    folders, others = sorted(walk.folders), sorted(walk.others)
    return Scan(root, tuple(images), tuple(folders), tuple(others), tuple(walk.problems))


def narrowed(content: Scan, *, to_images: bool) -> Scan:
    """Descend through needless top folders (``NEU-CLS/NEU-CLS/…``).

    Args:
        to_images: also enter a last folder that holds the images themselves; its name is then no class.
    """
    tops = {folder.parts[0] for folder in content.folders}
    least = 2 if to_images else 3
    shallowest = min((len(image.parts) for image in content.images), default=0)
    if len(tops) != 1 or shallowest < least:
        return content
    top = tops.pop()
    if split_name(top):
        return content
    inner = Scan(
        content.root / top,
        tuple(_below(top, content.images)),
        tuple(_below(top, content.folders)),
        tuple(_below(top, content.others)),
        content.problems,
    )
    return narrowed(inner, to_images=to_images)


def split_name(folder: str) -> str | None:
    """Return "train", "val" or "test" where the folder's name says so."""
    return _SPLITS.get(folder.lower())


def placed(path: PurePosixPath) -> tuple[str | None, tuple[str, ...]]:
    """(split, folders between it and the file); a folder that is just called "images" is left out."""
    folders = path.parts[:-1]
    split = split_name(folders[0]) if folders else None
    rest = folders[1:] if split else folders
    return split, rest[1:] if rest and rest[0].lower() in IMAGE_FOLDERS else rest


def _below(top: str, paths: tuple[PurePosixPath, ...]) -> Iterator[PurePosixPath]:
    return (path.relative_to(top) for path in paths if path.parts[0] == top and len(path.parts) > 1)


class _Walk:
    """The state of one walk: what was found, and which linked folders were entered."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real_root = root.resolve()
        self.entered: set[Path] = set()
        self.images: dict[PurePosixPath, os.DirEntry[str]] = {}
        self.folders: list[PurePosixPath] = []
        self.others: list[PurePosixPath] = []
        self.problems: list[Problem] = []

    def visit(self, folder: Path, relative: PurePosixPath) -> None:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            message = f"the folder cannot be listed: {error.strerror}"
            self._report("unreadable", folder, message, "Check its permissions.")
            return
        for entry in entries:
            if entry.name.lower() not in _CLUTTER and not entry.name.startswith("."):
                self._take(entry, relative / entry.name)

    def without_linked_copies(self) -> list[PurePosixPath]:
        """The images, less the links to images that are listed themselves."""
        if not any(entry.is_symlink() for entry in self.images.values()):
            return list(self.images)
        real = {_target(entry) for entry in self.images.values() if not entry.is_symlink()}
        kept = []
        for path, entry in self.images.items():
            if entry.is_symlink() and _target(entry) in real:
                self._link(entry.path, "the image that it leads to is listed itself")
            else:
                kept.append(path)
        return kept

    def _take(self, entry: os.DirEntry[str], relative: PurePosixPath) -> None:
        if not _encodable(entry.name):
            self._report("unreadable", Path(ascii(entry.path)[1:-1]), "its name is not valid text", "Rename it.")
        elif _is_folder(entry):
            if entry.is_symlink() and not self._may_enter(entry):
                return
            self.folders.append(relative)
            self.visit(Path(entry.path), relative)
        elif relative.suffix.lower() in SUFFIXES and not _is_pipe_or_device(entry):
            self.images[relative] = entry
        else:
            self.others.append(relative)

    def _may_enter(self, entry: os.DirEntry[str]) -> bool:
        target = _target(entry)
        inside = target.is_relative_to(self.real_root) or self.real_root.is_relative_to(target)
        if inside or any(target.is_relative_to(seen) for seen in self.entered):
            self._link(entry.path, "it leads to a folder that is read already")
            return False
        if any(seen.is_relative_to(target) for seen in self.entered):
            message = "link not followed: it leads to a folder of which a part is read already, through another link"
            self._report("link", Path(entry.path), message, "Remove the other link, or link the folders one by one.")
            return False
        self.entered.add(target)
        return True

    def _link(self, path: str, reason: str) -> None:
        fix = "Nothing, or remove the link."
        self.problems.append(Problem("link", path, f"link not followed: {reason}", fix))

    def _report(self, code: str, path: Path, message: str, fix: str) -> None:
        self.problems.append(Problem(code, str(path), message, fix, blocking=True))


def _target(entry: os.DirEntry[str]) -> Path:
    return Path(os.path.realpath(entry.path))  # Path.resolve fails on a link that leads to itself


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISDIR(entry.stat().st_mode)
    except OSError:  # a dangling link, or one that leads to itself
        return False


def _is_pipe_or_device(entry: os.DirEntry[str]) -> bool:
    """Would opening it wait for a writer, or never end? A dangling link is neither: it is reported later."""
    try:
        return not stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return False


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
