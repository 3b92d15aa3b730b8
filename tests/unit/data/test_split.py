"""Splits keep groups whole, classes balanced, and survive a round trip through their file."""

from pathlib import Path

import numpy as np
import pytest

from millscale.core.errors import DataError, UsageError
from millscale.core.types import Boxes
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.split import load_split, split


def data_set(images: int = 300, seed: int = 0) -> tuple[Manifest, dict[str, str]]:
    """Three classes; within each, consecutive images fall into groups of 1 to 12."""
    rng = np.random.default_rng(seed)
    records, groups = [], {}
    for label in ("a", "b", "c"):
        group, left = 0, 0
        for i in range(images // 3):
            if left == 0:
                group, left = group + 1, int(rng.integers(1, 13))
            name = f"{label}/{i:03d}.png"
            records.append(ImageRecord(name, Path(name), label))
            groups[name] = f"{label}{group}"
            left -= 1
    return Manifest(tuple(records), ("a", "b", "c"), "made"), groups


def test_folds_keep_groups_whole_and_classes_even() -> None:
    manifest, groups = data_set()
    made = split(manifest, groups=groups, folds=5)
    assert sorted(name for fold in made.folds for name in fold) == sorted(manifest.ids)
    owners = [{groups[name] for name in fold} for fold in made.folds]
    assert sum(map(len, owners)) == len(set(groups.values())) == made.groups
    counts = [[sum(n.startswith(label) for n in fold) for label in "abc"] for fold in made.folds]
    assert np.abs(np.array(counts) - 20).max() <= 2
    assert made.leaks == 0


def test_named_parts_have_the_shares_asked_for() -> None:
    manifest, groups = data_set()
    made = split(manifest, groups=groups, folds=3, test=0.2, val=0.1)
    assert [len(part) for part in (made.train, made.val, made.test)] == pytest.approx([210, 30, 60], abs=6)
    assert sorted(made.train + made.val + made.test) == sorted(manifest.ids)
    assert sorted(name for fold in made.folds for name in fold) == sorted(made.train + made.val)


def test_seed_decides() -> None:
    manifest, groups = data_set()
    assert split(manifest, groups=groups, seed=1) == split(manifest, groups=groups, seed=1)
    assert split(manifest, groups=groups, seed=1).folds != split(manifest, groups=groups, seed=2).folds


def test_file_round_trip(tmp_path: Path) -> None:
    manifest, groups = data_set(30)
    made = split(manifest, groups=groups, folds=2, test=0.2)
    made.save(tmp_path / "split.json")
    assert load_split(tmp_path / "split.json") == made


def test_class_with_too_few_groups_is_a_problem() -> None:
    manifest, groups = data_set(30)
    groups = {name: "a0" if name.startswith("a") else name for name in groups}
    made = split(manifest, groups=groups, folds=2)
    assert [(p.code, p.path) for p in made.problems] == [("fewer_groups_than_parts", "a")]


@pytest.mark.parametrize(("test", "val"), [(-0.1, 0.0), (0.5, 0.5), (0.0, 1.0)])
def test_shares_outside_their_range(test: float, val: float) -> None:
    manifest, groups = data_set(30)
    with pytest.raises(UsageError, match="sum below 1"):
        split(manifest, groups=groups, test=test, val=val)


def test_missing_group_and_too_few_groups() -> None:
    manifest, groups = data_set(30)
    with pytest.raises(DataError, match="none for 30"):
        split(manifest, groups={})
    with pytest.raises(DataError, match="at least 5 groups"):
        split(manifest, groups=dict.fromkeys(groups, "one"))


def test_not_a_split_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="expected a split file"):
        load_split(tmp_path / "x.json")


@pytest.mark.parametrize("seed", range(30))
def test_no_fold_is_empty_however_few_the_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(5, 14))
    labels = [str(k) for k in rng.integers(0, 6, count)]
    records = tuple(ImageRecord(f"{i:02}", Path(f"{i}"), label=labels[i]) for i in range(count))
    manifest = Manifest(records, tuple(sorted(set(labels))), "x")
    groups = {record.id: f"g{min(i, count - 1 - i) if i < 4 else i}" for i, record in enumerate(records)}
    if len(set(groups.values())) >= 5:
        parts = split(manifest, folds=5, groups=groups, seed=seed)
        assert all(parts.folds)
        assert sorted(name for fold in parts.folds for name in fold) == list(manifest.ids)
        assert parts.leaks == 0


@pytest.mark.parametrize("seed", range(5))
def test_no_part_that_was_asked_for_is_empty(seed: int) -> None:
    """Eight pieces of ten images: a tenth is less than any piece."""
    records = tuple(ImageRecord(f"{i}.png", Path(f"{i}.png"), "ab"[i // 40]) for i in range(80))
    manifest, groups = Manifest(records, ("a", "b"), "made"), {f"{i}.png": str(i // 10) for i in range(80)}
    made = split(manifest, groups=groups, folds=0, test=0.1, val=0.1, seed=seed)
    assert min(len(made.train), len(made.val), len(made.test)) >= 10
    poor = {part for part in ("val", "test") if len({int(name[:-4]) // 40 for name in getattr(made, part)}) == 1}
    assert {p.path for p in made.problems if p.code == "part_lacks_class"} == poor
    with pytest.raises(DataError, match="at least 3 groups for train and val and test, found 2"):
        split(manifest, groups={name: str(int(name[:-4]) // 40) for name in groups}, test=0.1, val=0.1)


def test_a_part_of_images_that_show_nothing_is_told() -> None:
    """Boxes in the training part alone."""
    box = Boxes(np.array([[1, 1, 4, 4]], np.float32), np.array([0]))
    empty = Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    records = tuple(ImageRecord(f"{i}.png", Path(f"{i}.png"), boxes=empty if i == 9 else box) for i in range(10))
    manifest = Manifest(records, ("dent",), "made")
    groups = {f"{i}.png": "whole" if i < 9 else "alone" for i in range(10)}
    made = split(manifest, groups=groups, folds=0, test=0.1)
    assert made.test == ("9.png",)
    assert [p.message for p in made.problems if p.code == "part_lacks_class"] == ["no image of dent in the part 'test'"]
