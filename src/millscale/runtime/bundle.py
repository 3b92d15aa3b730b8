"""The deployable file ``NAME.millscale``: a stored zip of a card, networks and a golden image.

A bundle is untrusted input. Opening checks the archive, the card, every hash and every operator before
any network runs; the caller then runs the golden image (`Inspector.open` does).
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from millscale.core.errors import ModelError
from millscale.core.files import whole
from millscale.data.manifest import Manifest
from millscale.runtime.anomaly import NORMAL, read_normal
from millscale.runtime.arrays import read_array
from millscale.runtime.card import SCHEMA_VERSION, Card
from millscale.runtime.onnx_audit import check_onnx
from millscale.runtime.openset import read_guard

CARD = "card.json"
SEEN = "seen.npy"
"""`content_keys` of the training images, ``(N,)`` uint64, so that `evaluate` can say when a test is none."""
_MAX_BYTES = 512 * 2**20
_MAX_MEMBERS = 32
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory: its card and its members' bytes by name."""

    card: Card
    members: dict[str, bytes]

    @property
    def seen(self) -> NDArray[np.uint64]:
        """`content_keys` of the images it was trained on, ``(N,)``; empty where it keeps none.

        Raises:
            ModelError: they are no plain array of such keys.
        """
        if SEEN not in self.members:
            return np.zeros(0, np.uint64)
        keys = read_array(self.members, SEEN)
        if keys.dtype != np.uint64:
            raise ModelError(
                f"Bundle '{self.card.name}': expected {SEEN} of uint64, found {keys.dtype}. Copy the bundle again."
            )
        return keys.ravel()

    def save(self, path: Path | str) -> Path:
        """Write the bundle, the same bytes for the same content, all or nothing."""
        target = Path(path)
        with whole(target) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(CARD, _EPOCH), self.card.model_dump_json(indent=1))
            for name in sorted(self.members):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), self.members[name])
        return target


def content_keys(hashes: Iterable[str]) -> NDArray[np.uint64]:
    """What stands in a bundle for images: the first 64 bits of the sha256 of each file."""
    return np.array([int(name[:16], 16) for name in hashes], np.uint64)


def recognised(images: Manifest, seen: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """``(N,)``: which of the images, by their bytes, are among those of the `content_keys` ``seen``."""
    return np.isin(content_keys(record.content_hash for record in images.records), seen)


def make_bundle(card: dict[str, Any], members: dict[str, bytes]) -> Bundle:
    """A bundle of these members; the card's ``sha256`` is filled in.

    Raises:
        ModelError: the card does not fit its schema, or a network would be refused when opened.
    """
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    bundle = Bundle(_card({**card, "sha256": hashes}, "new bundle"), dict(members))
    _check_members(bundle, "new bundle")
    return bundle


def open_bundle(path: Path | str) -> Bundle:
    """Read and verify a bundle; nothing is run.

    Raises:
        ModelError: not a bundle, damaged, of another schema, or with a network that is refused.
    """
    source = Path(path)
    if not source.is_file():
        raise ModelError(f"Bundle {source}: expected a .millscale file, found none. Check the path.")
    try:
        members = _read_members(source)
        raw = json.loads(members.pop(CARD))
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError, OSError, NotImplementedError, RuntimeError) as error:
        raise ModelError(
            f"Bundle {source}: expected a .millscale file written by `millscale train`, found something else "
            f"({error}). Copy the file again, or train anew."
        ) from error
    bundle = Bundle(_card(raw, str(source)), members)
    _check_members(bundle, str(source))
    return bundle


def _read_members(source: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names) or len(names) > _MAX_MEMBERS:
            raise ValueError("its members are not unique, or too many")
        if sum(entry.file_size for entry in entries) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES >> 20} MB when unpacked")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("compressed members")
        return {entry.filename: archive.read(entry) for entry in entries}


def _card(raw: Any, source: str) -> Card:
    version = raw.get("schema_version", SCHEMA_VERSION) if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ModelError(
            f"{source}: expected card schema {SCHEMA_VERSION} or older, found {version}. "
            "Upgrade millscale to open this bundle."
        )
    try:
        return Card.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(
            f"{source}: the card does not fit its schema at '{where}': {first['msg']}. "
            "Write the bundle again with `millscale train`."
        ) from error


def _check_members(bundle: Bundle, source: str) -> None:
    expected, found = bundle.card.sha256, bundle.members
    if set(expected) != set(found):
        odd = sorted(set(expected) ^ set(found))
        raise ModelError(f"{source}: card and contents differ in {', '.join(odd)}. Copy the bundle again.")
    for name, data in found.items():
        if hashlib.sha256(data).hexdigest() != expected[name]:
            raise ModelError(f"{source}: {name} is damaged (its sha256 differs). Copy the bundle again.")
        if name.endswith(".onnx"):
            check_onnx(data, f"{source}: {name}")
    needed = {part.file for part in bundle.card.parts} | {bundle.card.golden.file}
    needed |= set(bundle.card.openset.files) if bundle.card.openset else set()
    needed |= {NORMAL} if bundle.card.scorer else set()
    if not needed <= set(found):
        raise ModelError(f"{source}: {', '.join(sorted(needed - set(found)))} is missing. Train it anew.")
    if bundle.card.openset:
        read_guard(found, bundle.card.openset, len(bundle.card.classes))
    if bundle.card.scorer:
        read_normal(found)
