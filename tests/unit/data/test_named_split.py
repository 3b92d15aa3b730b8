from pathlib import Path

import pytest

from millscale.core.errors import DataError, UsageError
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.split import load_split, named_split

IDS = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
GROUPS = {"a.jpg": "1", "b.jpg": "1", "c.jpg": "2", "d.jpg": "3"}
MANIFEST = Manifest(tuple(ImageRecord(name, Path(name)) for name in IDS), (), "steel")


def test_lists_become_a_split_without_folds_with_its_leak(tmp_path: Path) -> None:
    parts = named_split(MANIFEST, {"train": ["d.jpg", "a.jpg"], "val": ["b.jpg", "c.jpg"]}, GROUPS)
    assert (parts.train, parts.val, parts.test, parts.folds) == (("a.jpg", "d.jpg"), ("b.jpg", "c.jpg"), (), ())
    assert (parts.groups, parts.leaks, parts.problems) == (3, 1, ())
    parts.save(tmp_path / "split.json")
    assert load_split(tmp_path / "split.json") == parts


def test_images_in_no_list_are_told() -> None:
    parts = named_split(MANIFEST, {"train": ["a.jpg"], "test": ["c.jpg"]}, GROUPS)
    assert [(problem.code, problem.message) for problem in parts.problems] == [
        ("in_no_part", "2 of 4 images stand in no part, such as b.jpg")
    ]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": ["a.jpg"]}, "found train with 1"),
        ({"train": [], "val": ["a.jpg"]}, "found train with 0, val with 1"),
        ({}, "found none"),
        ({"train": ["a.jpg", "b.jpg"], "val": ["b.jpg"]}, "found 'b.jpg' in 'train' and in 'val'"),
        ({"train": ["a.jpg", "a.jpg"], "val": ["b.jpg"]}, "found 'a.jpg' in 'train' and in 'train'"),
        ({"train": ["a.jpg"], "val": ["z.jpg"]}, "ids of the data set in 'val', found 'z.jpg'"),
    ],
)
def test_lists_that_do_not_divide_are_refused(parts: dict[str, list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        named_split(MANIFEST, parts, GROUPS)


def test_a_part_of_another_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Unknown part 'vall'\. Did you mean 'val'"):
        named_split(MANIFEST, {"train": ["a.jpg"], "vall": ["b.jpg"]}, GROUPS)
