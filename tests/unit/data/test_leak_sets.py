from collections import Counter
from pathlib import Path

import pytest

from millscale.core.errors import DataError
from millscale.data.leak_sets import leak_sets
from millscale.data.manifest import ImageRecord, Manifest


def manifest(pairs: int = 10, singles: int = 20) -> Manifest:
    records = []
    for kind in ("a", "b"):
        for k in range(2 * pairs + singles):
            group = f"{kind}{k // 2}" if k < 2 * pairs else f"{kind}single{k}"
            records.append(ImageRecord(f"{kind}/{k:03}", Path("x"), label=kind, group=group))
    return Manifest(tuple(records), ("a", "b"), "toy")


def test_the_two_training_parts_differ_in_the_mates_alone():
    images = manifest()
    found = leak_sets(images, 12, seed=0)
    group = {record.id: record.group for record in images.records}
    label = {record.id: record.label for record in images.records}
    tested = {group[name] for name in found.test}
    assert len(found.test) == 12
    assert not set(found.test) & (set(found.leaky) | set(found.clean))
    assert not tested & {group[name] for name in found.clean}
    assert tested <= {group[name] for name in found.leaky}
    counts = [Counter(label[name] for name in part) for part in (found.leaky, found.clean)]
    assert counts[0] == counts[1] == Counter(a=28, b=28)


def test_the_seed_decides():
    assert leak_sets(manifest(), 12, seed=3) == leak_sets(manifest(), 12, seed=3)
    assert leak_sets(manifest(), 12, seed=3) != leak_sets(manifest(), 12, seed=4)


def test_the_test_part_takes_what_there_is():
    found = leak_sets(manifest(pairs=2), 100, seed=0)
    assert len(found.test) == 4


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (manifest(pairs=0), "groups of two images"),
        (Manifest((ImageRecord("x", Path("x"), label="a"),), ("a",), "toy"), "a label and a group"),
    ],
)
def test_what_cannot_leak_is_refused(images, message):
    with pytest.raises(DataError, match=message):
        leak_sets(images, 12, seed=0)
