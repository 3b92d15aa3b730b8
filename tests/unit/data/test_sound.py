from pathlib import Path

import pytest

from millscale.core.errors import DataError
from millscale.core.types import Boxes, Problem
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.sound import require_classes, require_sound


def manifest(*problems: Problem) -> Manifest:
    records = tuple(ImageRecord(f"{number}.jpg", Path(f"{number}.jpg")) for number in range(4))
    return Manifest(records, (), "steel", problems)


def bad(number: int, code: str = "unreadable_annotation") -> Problem:
    return Problem(code, f"{number}.xml:7", "broken.", "mend", blocking=True, image=f"{number}.jpg")


def test_what_is_sound_is_returned_as_it_is() -> None:
    harmless = Problem("box_twice", "1.xml:3", "twice", "mend", image="1.jpg")
    no_picture = Problem("unreadable", "5.jpg", "no image", "mend", blocking=True)
    images = manifest(harmless, no_picture)
    assert require_sound(images, skip_bad=False) is images
    assert require_sound(images, skip_bad=True) is images


def test_the_first_three_are_named_with_their_count_and_the_way_on() -> None:
    images = manifest(*(bad(number) for number in (0, 1, 2, 3, 3)))
    with pytest.raises(DataError) as error:
        require_sound(images, skip_bad=False)
    text = str(error.value)
    assert text.startswith("steel: expected annotations that can all be used, found 5 that cannot: 0.xml:7: broken; ")
    assert "2.xml:7: broken; and 2 more." in text
    assert "3.xml" not in text
    assert "--skip-bad" in text


def test_images_of_bad_annotations_are_left_out_listed_and_counted() -> None:
    orphan = Problem("no_image", "9.xml", "no image of this name", "add it", blocking=True)
    images = manifest(bad(1), bad(1, "box_inverted"), bad(3, "unknown_class"), orphan)
    sound = require_sound(images, skip_bad=True)
    assert sound.ids == ("0.jpg", "2.jpg")
    assert sound.problems[:-1] == images.problems
    assert sound.problems[-1].code == "skipped"
    expected = "4 annotations cannot be used; 2 of 4 images left out: 1.jpg, 3.jpg"
    assert sound.problems[-1].message == expected


def drawn(*classes: list[int] | None) -> Manifest:
    """Images with a box of each class, None for one that is not annotated."""
    boxes = [None if one is None else Boxes([[0, 0, 9, 9]] * len(one), one) for one in classes]
    records = tuple(ImageRecord(f"{k}.jpg", Path(f"{k}.jpg"), boxes=one) for k, one in enumerate(boxes))
    return Manifest(records, ("dent", "rust", "scale"), "steel")


def test_a_class_that_is_named_and_never_drawn_is_no_matter() -> None:
    images = drawn([0, 1], [], None)
    assert require_classes(images, ("rust", "dent", "oil"), skip_bad=False) is images


def test_images_with_boxes_of_other_classes_are_named_or_left_out() -> None:
    images = drawn([0, 1], [0], [2], [1, 2], [2], [2])
    with pytest.raises(DataError) as error:
        require_classes(images, ("dent", "rust"), skip_bad=False)
    expected = (
        "steel: expected boxes of the bundle's classes (dent, rust), found scale in 2.jpg, 3.jpg, 4.jpg and 1 more"
    )
    assert str(error.value).startswith(expected)
    assert "--skip-bad" in str(error.value)
    kept = require_classes(images, ("dent", "rust"), skip_bad=True)
    assert kept.ids == ("0.jpg", "1.jpg")
    assert [problem.code for problem in kept.problems] == ["skipped"]
    assert "4 of 6 images left out: 2.jpg, 3.jpg, 4.jpg, 5.jpg" in kept.problems[0].message
