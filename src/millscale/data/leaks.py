"""The leak of a split, anyone's: how many held-out images show surface that training images show too."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from millscale.core.errors import DataError
from millscale.data.audit.audit import Audit
from millscale.data.audit.overlap import Overlap
from millscale.data.manifest import Manifest
from millscale.data.split import Split, load_split

Parts = Mapping[str, Sequence[str]]
TRAIN = "train"


@dataclass(frozen=True)
class LeakingPair:
    """A held-out image and a training image that share surface.

    Attributes:
        held_out, train: image ids.
        fraction: shared area / area of the smaller image.
    """

    held_out: str
    train: str
    fraction: float


@dataclass(frozen=True)
class Leak:
    """The leak of one held-out part.

    Attributes:
        part: "test", "val", or "fold 0" …
        images: images held out.
        leaking: those that share surface with a training image.
        pairs: which, and with which, largest share first; of exact copies, one to train on stands for all.
    """

    part: str
    images: int
    leaking: int
    pairs: tuple[LeakingPair, ...]

    @property
    def fraction(self) -> float:
        """``leaking / images``, 0 for an empty part."""
        return self.leaking / self.images if self.images else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        pairs = [[p.held_out, p.train, round(p.fraction, 6)] for p in self.pairs]
        return {**asdict(self), "fraction": round(self.fraction, 6), "pairs": pairs}


def leaks(split: Split | Parts, audit: Audit, *, min_fraction: float = 0.0) -> tuple[Leak, ...]:
    """Measure a split against an audit of the same images, every held-out part and every fold by itself.

    Args:
        audit: of the same images.
        split: ours, or the ids of each part, with a part named "train".
        min_fraction: ignore pairs that share less than this part of their area.

    Raises:
        DataError: no part is named "train", or it stands alone.
    """
    shared = [o for o in (*audit.overlaps, *audit.second_exposures) if o.fraction >= min_fraction]
    shared += [Overlap(n.a, n.b, 1.0, 0, 0, exact=False) for n in audit.near_duplicates]
    # An audit compares one of several copies, and names each other copy beside it alone.
    first = {copy: one for one, copy in audit.exact_duplicates}
    return tuple(_measure(name, train, held, shared, first) for name, train, held in _divisions(split))


def named_parts(manifest: Manifest) -> Parts:
    """The split that came with a data set (folders ``train``, ``valid``, ``test``), from ``record.split``.

    Raises:
        DataError: no record names a split.
    """
    parts: dict[str, list[str]] = {}
    for record in manifest.records:
        if record.split is not None:
            parts.setdefault(record.split, []).append(record.id)
    if not parts:
        raise DataError(
            f"{manifest.source}: expected images in folders train, valid or test, found no named split. "
            f"Give the split as a file: JSON, or one text file of names for each part."
        )
    return parts


def read_parts(source: Path | Mapping[str, Path], manifest: Manifest) -> Split | Parts:
    """A split kept in files, its names resolved to the manifest's ids.

    Args:
        manifest: the data set that the names belong to.
        source: a JSON file of ours; or a text file of names for each part, as ``{"train": path, "val": path}``.
            A name may be an id, a file name, or either without its ending, one a line.

    Raises:
        DataError: a file cannot be read, or names an image that is not there, or that two images answer to.
    """
    if isinstance(source, Path):
        split = load_split(source)
        named = (*split.train, *split.val, *split.test, *(name for fold in split.folds for name in fold))
        if lost := sorted({*named} - {*manifest.ids}):
            raise DataError(
                f"{source}: expected images of {manifest.source}, found {len(lost)} that are not there, '{lost[0]}' "
                "first. Give the split that was made of this data set."
            )
        return split
    names = _names(manifest)
    return {part: [_resolve(line, names, path) for line in _lines(path)] for part, path in source.items()}


def _divisions(split: Split | Parts) -> Iterable[tuple[str, set[str], Sequence[str]]]:
    parts: Parts = vars(split) if isinstance(split, Split) else split
    train = set(parts.get(TRAIN, ()))
    folds: Sequence[Sequence[str]] = split.folds if isinstance(split, Split) else ()
    named = ("val", "test") if isinstance(split, Split) else tuple(name for name in parts if name != TRAIN)
    held = [(name, parts[name]) for name in named if parts[name]]
    if not train or not (held or folds):
        filled = [name for name in (TRAIN, *named, "folds") if parts.get(name)]
        raise DataError(
            f"Expected a part 'train' and at least one held out, found {', '.join(filled) or 'nothing'}. "
            f"Name the parts train, val and test."
        )
    yield from ((name, train, ids) for name, ids in held)
    everything = {name for fold in folds for name in fold}
    yield from ((f"fold {i}", everything - set(fold), fold) for i, fold in enumerate(folds))


def _measure(
    part: str, train: set[str], held: Sequence[str], shared: Iterable[Overlap], first: Mapping[str, str]
) -> Leak:
    inside, known = _by_content(held, first), _by_content(sorted(train), first)
    pairs: dict[tuple[str, str], float] = {}
    for overlap in shared:
        for a, b in ((overlap.a, overlap.b), (overlap.b, overlap.a)):
            one, other = first.get(a, a), first.get(b, b)
            if one in inside and other in known:
                for name in inside[one]:
                    pair = name, known[other][0]
                    pairs[pair] = max(overlap.fraction, pairs.get(pair, 0.0))
    for content in inside.keys() & known.keys():
        pairs.update({(name, name if name in train else known[content][0]): 1.0 for name in inside[content]})
    found = sorted(
        (LeakingPair(a, b, f) for (a, b), f in pairs.items()),
        key=lambda p: (-p.fraction, p.held_out, p.train),
    )
    return Leak(part, len(held), len({pair.held_out for pair in found}), tuple(found))


def _by_content(ids: Iterable[str], first: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
    """Images under the first of their exact copies."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in ids:
        found[first.get(name, name)].append(name)
    return found


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected a text file of image names in UTF-8, found {error}. Name an existing one, or save it so."
        ) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _names(manifest: Manifest) -> dict[str, set[str]]:
    """Everything an image may be called, and the ids that answer to it."""
    names: dict[str, set[str]] = {}
    for name in manifest.ids:
        path = PurePosixPath(name)
        for alias in (name, str(path.with_suffix("")), path.name, path.stem):
            names.setdefault(alias, set()).add(name)
    return names


def _resolve(line: str, names: Mapping[str, set[str]], path: Path) -> str:
    text = line.replace("\\", "/")
    found = {line} if line in names.get(line, ()) else names.get(text) or names.get(PurePosixPath(text).name, set())
    if len(found) != 1:
        state = f"{len(found)} images of that name" if found else "no such image"
        raise DataError(
            f"{path}: expected the name of one image, found '{line}', {state}. Use the ids of the data set."
        )
    return next(iter(found))
