"""Download a public data set by name, check that it is whole, and lay it out.

The data sets carry no licence that would let the project ship them. Cite: K. Song and Y. Yan, Applied Surface
Science 285 (2013) 858-864 (neu-cls); Y. He et al., IEEE Trans. Instrum. Meas. 69 (2020) 1493-1504 (neu-det).
"""

import importlib
import shutil
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from millscale.core.errors import DataError, UsageError, unknown_name
from millscale.data.classes import NEU_CLASSES
from millscale.data.convert import copy_image, copy_to_class_folders, whole_folder
from millscale.data.manifest import Manifest
from millscale.data.read import read
from millscale.imaging.decode import read_image

Downloader = Callable[[str], Path]
"""From a data set's slug to a folder with its files, or to a zip of them."""

IMAGES_PER_CLASS = 300
MAX_UNPACKED_BYTES = 2**31


@dataclass(frozen=True)
class Source:
    """Where a data set is published.

    Attributes:
        slug: its name there, ``owner/data-set``.
        annotated: does it come with Pascal VOC boxes?
    """

    slug: str
    annotated: bool


SOURCES = {
    "neu-cls": Source("fantacher/neu-metal-surface-defects-data", annotated=False),
    "neu-det": Source("kaustubhdikshit/neu-surface-defect-database", annotated=True),
}


def kaggle_download(slug: str) -> Path:
    """Download with kagglehub, which resumes what was interrupted and keeps what is whole.

    Raises:
        UsageError: kagglehub is not installed.
        DataError: the download failed.
    """
    try:
        kagglehub = importlib.import_module("kagglehub")
    except ImportError as error:
        raise UsageError(
            'Downloading needs kagglehub, which is not installed. Run: pip install "millscale[fetch]"'
        ) from error
    try:
        return Path(kagglehub.dataset_download(slug))
    except OSError as error:
        raise DataError(
            f"{slug}: expected to download it, found: {error}. Check the network and try again, or download "
            "it in a browser and give the folder to `millscale data check`."
        ) from error


def fetch(name: str, destination: Path | str, *, downloader: Downloader = kaggle_download) -> Manifest:
    """Download the data set ``name``, verify it and lay it out in ``destination``.

    ``neu-cls`` becomes six class folders, ``neu-det`` the folders IMAGES and ANNOTATIONS. The destination
    appears whole or not at all; where it is there already, it is verified and nothing is downloaded.

    Args:
        name: "neu-cls" or "neu-det".
        destination: a new or empty folder, or the result of an earlier call.
        downloader: gets the slug; by default kagglehub.

    Raises:
        UsageError: unknown name, or kagglehub is missing.
        DataError: the download failed or is not the whole data set, or the destination holds something else.
    """
    if name not in SOURCES:
        raise unknown_name("data set", name, SOURCES)
    source, target = SOURCES[name], Path(destination)
    if not (target.is_dir() and any(target.iterdir())):
        with whole_folder(target) as folder:
            _lay_out(downloader(source.slug), folder, source)
            _verify(read(folder), source)
    manifest = read(target)
    _verify(manifest, source)
    return manifest


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into ``folder``.

    Raises:
        DataError: not a zip, a member would land outside, or it unpacks to more than 2 GiB.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            for member in content.infolist():
                _require_inside(member.filename, archive)
            size = sum(member.file_size for member in content.infolist())
            if size > MAX_UNPACKED_BYTES:
                raise DataError(f"{archive}: expected at most {MAX_UNPACKED_BYTES} bytes unpacked, found {size}.")
            content.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive}: expected a zip archive, found: {error}. Download it again.") from error


def _require_inside(member: str, archive: Path) -> None:
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member:
        raise DataError(f"{archive}: expected names below one folder, found '{member}'. Do not trust this archive.")


def _lay_out(downloaded: Path, folder: Path, source: Source) -> None:
    unpacked = folder / ".unpacked"
    if downloaded.is_file():
        unpack(downloaded, unpacked)
        downloaded = unpacked
    manifest = read(downloaded)
    if source.annotated:
        _copy_annotated(manifest, downloaded, folder)
    else:
        copy_to_class_folders(manifest, folder)
    shutil.rmtree(unpacked, ignore_errors=True)


def _copy_annotated(manifest: Manifest, downloaded: Path, folder: Path) -> None:
    images, annotations = folder / "IMAGES", folder / "ANNOTATIONS"
    images.mkdir()
    annotations.mkdir()
    for record in manifest.records:
        copy_image(record, images)
    stems = {record.path.stem for record in manifest.records}
    for path in sorted(downloaded.rglob("*.xml")):
        if path.stem in stems:
            shutil.copyfile(path, annotations / path.name)


def _verify(manifest: Manifest, source: Source) -> None:
    """Every class with all its images, every image decodes, every box file is there."""
    wanted = dict.fromkeys(NEU_CLASSES, IMAGES_PER_CLASS)
    if manifest.class_counts != wanted:
        raise DataError(
            f"{manifest.source}: expected {IMAGES_PER_CLASS} images of each of {', '.join(NEU_CLASSES)}, "
            f"found {manifest.class_counts}. Delete this folder and fetch again."
        )
    for record in manifest.records:
        read_image(record.path)
        if source.annotated and record.boxes is None:
            raise DataError(f"{record.id}: expected an annotation, found none. Delete the folder and fetch again.")
