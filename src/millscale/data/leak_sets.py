"""What a leak is worth: one test part, and two training parts of equal size, with and without its overlapping mates."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from millscale.core.errors import DataError
from millscale.data.manifest import Manifest


@dataclass(frozen=True)
class LeakSets:
    """Image ids, in the manifest's order.

    Attributes:
        test: images that each have at least one mate, an image of their group, outside the test part.
        leaky: training images, the mates of the test images first among them.
        clean: as many training images of each class, none of a test image's group.
    """

    test: tuple[str, ...]
    leaky: tuple[str, ...]
    clean: tuple[str, ...]


def leak_sets(manifest: Manifest, test: int, seed: int) -> LeakSets:
    """Draw the three sets; both training parts have the same number of images of every class.

    Half of each drawn group, rounded down, is tested on and the rest are mates. The classes have equal parts in the
    test as far as they have groups enough.

    Args:
        manifest: labelled images, each with its group.
        test: images wanted in the test part.
        seed: of the draw.

    Raises:
        DataError: an image without label or group, or no group of two images.
    """
    if any(record.label is None or record.group is None for record in manifest.records):
        raise DataError(
            f"{manifest.source}: expected a label and a group for every image, found images without. "
            "Audit the folder first (`millscale data check`)."
        )
    rng = np.random.default_rng(seed)
    members: dict[str, list[str]] = defaultdict(list)
    for record in manifest.records:
        members[str(record.group)].append(record.id)
    label = {record.id: str(record.label) for record in manifest.records}
    chosen = [drawn for name in manifest.classes for drawn in _drawn(members, label, name, test, rng, manifest)]
    if not chosen:
        raise DataError(f"{manifest.source}: expected groups of two images or more, found none. Nothing can leak.")
    tested = {name for drawn in chosen for name in drawn[0]}
    mates = {name for drawn in chosen for name in drawn[1]} - tested
    touched = {name for ids in members.values() if tested.intersection(ids) for name in ids}
    leaky: set[str] = set()
    clean: set[str] = set()
    for name in manifest.classes:
        free = [i for i in manifest.ids if label[i] == name and i not in touched]
        near = [i for i in manifest.ids if label[i] == name and i in mates][: len(free)]
        clean.update(free)
        leaky.update(near, rng.permutation(free)[: len(free) - len(near)].tolist())
    in_order = [tuple(i for i in manifest.ids if i in part) for part in (tested, leaky, clean)]
    return LeakSets(*in_order)


def _drawn(
    members: dict[str, list[str]],
    label: dict[str, str],
    name: str,
    test: int,
    rng: np.random.Generator,
    manifest: Manifest,
) -> list[tuple[list[str], list[str]]]:
    """(tested, mates) of groups of one class, until the class has its part of the test images."""
    groups = [ids for ids in members.values() if len(ids) > 1 and label[ids[0]] == name]
    wanted, found = test // len(manifest.classes), []
    for place in rng.permutation(len(groups)):
        if wanted <= 0:
            break
        ids: Sequence[str] = rng.permutation(groups[place]).tolist()
        count = min(len(ids) // 2, wanted)
        found.append((list(ids[:count]), list(ids[count:])))
        wanted -= count
    return found
