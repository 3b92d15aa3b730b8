"""``check``: read every image once, find what they share, group it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.core.types import Image, Problem
from millscale.data.audit.audit import BLANK_IMAGE, Audit, NearDuplicate
from millscale.data.audit.blurred import verify_blurred
from millscale.data.audit.exact import verify_exact
from millscale.data.audit.findings import class_problems, contradicted_labels
from millscale.data.audit.groups import name_groups
from millscale.data.audit.index import OffsetIndex, likeliest
from millscale.data.audit.keypoints import Describer
from millscale.data.audit.near import NearIndex, NearMatch
from millscale.data.audit.overlap import Match, Overlap
from millscale.data.audit.pixels import ImageCache, content_digest, luminance
from millscale.data.audit.windows import sample_windows
from millscale.data.manifest import Manifest
from millscale.imaging.quality import fault, measure

Progress = Callable[[str, int, int], None]

COPIES_EXPANDED = 64
"""Two pictures with very many exact copies each report this many pairs at most; the groups hold them all."""

SIGNATURE_TOLERANCE = 16
PROGRESS_EVERY = 50


@dataclass
class _Found:
    """What one pass over the images gathered."""

    copies: dict[bytes, list[int]] = field(default_factory=lambda: defaultdict(list))
    unreadable: list[tuple[str, DataError]] = field(default_factory=list)
    blank: list[tuple[str, str]] = field(default_factory=list)
    exact: list[Match] = field(default_factory=list)
    blurred: list[Match] = field(default_factory=list)
    exposures: list[Match] = field(default_factory=list)
    near: list[NearMatch] = field(default_factory=list)


def check(manifest: Manifest, *, progress: Progress | None = None) -> Audit:
    """Audit a data set: duplicates, overlapping crops, unreadable files, contradicted labels, groups.

    Overlaps are translations by whole pixels of images at one scale; a crop that was also turned,
    mirrored or resized is found only as a whole picture (``near_duplicates``).

    Args:
        progress: called with a stage ("read", "compare"), how many are done, and how many there are.
    """
    found = _search(manifest, progress or _silent)
    return _assemble(manifest, found)


def _silent(stage: str, done: int, total: int) -> None:
    """No progress was asked for."""


def _search(manifest: Manifest, tell: Progress) -> _Found:
    images = ImageCache([record.path for record in manifest.records])
    found = _Found()
    describe = Describer()
    with ExitStack() as stack:
        windows, keypoints = stack.enter_context(OffsetIndex()), stack.enter_context(OffsetIndex())
        near = NearIndex(stack.enter_context(OffsetIndex()))
        for i, record in enumerate(manifest.records):
            if i % PROGRESS_EVERY == 0:
                tell("read", i, len(manifest))
            try:
                image = images[i]
            except DataError as error:
                found.unreadable.append((record.id, error))
                continue
            if reason := fault(measure(image)):
                found.blank.append((record.id, reason))
            same = found.copies[content_digest(image)]
            same.append(i)
            if len(same) == 1:
                windows.add(i, *sample_windows(image))
                _add_keypoints(keypoints, describe, i, image)
                near.add(i, luminance(image))
        tell("read", len(manifest), len(manifest))
        same_windows = windows.votes(unique_in_image=True)
        like_windows = keypoints.votes(at_least=2, tolerance=SIGNATURE_TOLERANCE)
        found.exact = [match for match in verify_exact(images, same_windows) if match]
        rest = likeliest(_without(like_windows, found.exact, len(manifest)))
        _search_blurred(images, rest, found, tell)
        known = {(match.a, match.b) for match in (*found.exact, *found.blurred, *found.exposures)}
        found.near = list(near.matches(images, known))
    return found


def _add_keypoints(index: OffsetIndex, describe: Describer, i: int, image: Image) -> None:
    points = describe(luminance(image))
    for keys in points.keys.T:
        index.add(i, keys, points.x, points.y, points.signatures)


def _without(votes: NDArray[np.void], matches: Sequence[Match], count: int) -> NDArray[np.void]:
    """The votes for pairs that are not yet known to overlap."""
    known = np.array([m.a * count + m.b for m in matches], np.int64)
    return votes[~np.isin(votes["a"].astype(np.int64) * count + votes["b"], known)]


def _search_blurred(images: ImageCache, votes: NDArray[np.void], found: _Found, tell: Progress) -> None:
    total = len(np.unique(votes[["a", "b"]]))
    for done, item in enumerate(verify_blurred(images, votes)):
        if done % PROGRESS_EVERY == 0:
            tell("compare", done, total)
        if item:
            match, same_light = item
            (found.blurred if same_light else found.exposures).append(match)
    tell("compare", total, total)


def _assemble(manifest: Manifest, found: _Found) -> Audit:
    copies = [same for same in found.copies.values() if len(same) > 1]
    duplicates = _named(manifest, [Match(s[0], other, 1.0, 0, 0, exact=True) for s in copies for other in s[1:]])
    overlaps = _named(manifest, _with_copies(found.exact + found.blurred, copies)) + duplicates
    exposures = _named(manifest, _with_copies(found.exposures, copies))
    shared = overlaps + exposures
    known = {(o.a, o.b) for o in shared}
    named = (NearDuplicate(manifest.ids[n.a], manifest.ids[n.b], n.similarity, n.view) for n in found.near)
    near = [n for n in named if (n.a, n.b) not in known]
    groups = name_groups(manifest.ids, [*known, *((n.a, n.b) for n in near), *_declared(manifest)])
    lost = [name for name, _ in found.unreadable]
    problems = [*manifest.problems, *(_unreadable(name, error) for name, error in found.unreadable)]
    problems += [_blank(name, reason) for name, reason in found.blank]
    return Audit(
        images=len(manifest),
        classes=manifest.class_counts,
        unreadable=tuple(lost),
        exact_duplicates=tuple((d.a, d.b) for d in duplicates),
        overlaps=tuple(sorted(overlaps, key=lambda o: (o.a, o.b))),
        second_exposures=tuple(sorted(exposures, key=lambda o: (o.a, o.b))),
        near_duplicates=tuple(near),
        groups=groups,
        suspect_labels=contradicted_labels(manifest, shared),
        problems=tuple(problems + class_problems(manifest, groups, lost)),
    )


def _declared(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The images that the data set itself says belong together."""
    first: dict[str, str] = {}
    for record in manifest.records:
        if record.group is not None:
            yield first.setdefault(record.group, record.id), record.id


def _with_copies(matches: Iterable[Match], copies: Iterable[Sequence[int]]) -> list[Match]:
    """Every overlap again for the exact copies of its two images."""
    copies_of = {same[0]: same for same in copies}
    return [
        _between(match, a, b)
        for match in matches
        for a, b in _first_pairs(copies_of.get(match.a, [match.a]), copies_of.get(match.b, [match.b]))
    ]


def _first_pairs(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    return list(product(a[:COPIES_EXPANDED], b[:COPIES_EXPANDED]))[:COPIES_EXPANDED]


def _between(match: Match, a: int, b: int) -> Match:
    """The same overlap between the copies ``a`` and ``b``, the smaller index first."""
    if a < b:
        return replace(match, a=a, b=b)
    return replace(match, a=b, b=a, dx=-match.dx, dy=-match.dy)


def _named(manifest: Manifest, matches: Iterable[Match]) -> list[Overlap]:
    ids = manifest.ids
    return [Overlap(ids[m.a], ids[m.b], m.fraction, m.dx, m.dy, m.exact) for m in matches]


def _blank(name: str, reason: str) -> Problem:
    fix = "delete the image, and its annotations, or take it again: a model learns nothing of metal from it"
    return Problem(BLANK_IMAGE, name, f"a fault of the imaging: {reason}", fix)


def _unreadable(name: str, error: DataError) -> Problem:
    fix = "replace the file with an intact copy, or delete it"
    return Problem("unreadable_image", name, str(error), fix, blocking=True)
