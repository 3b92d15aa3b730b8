from dataclasses import replace

import numpy as np
import pytest

from millscale.core.types import Boxes
from millscale.train.detection import PADDING
from millscale.train.scenes import SceneConfig, Source, scenes, seen_in

SIDE = 48
STILL = SceneConfig(mosaic=0.0, zoom=0.0, stretch=0.0)


def source(*, difficult: bool = False) -> Source:
    """Dark images, each with one white rectangle and its box."""
    pixels, boxes = np.zeros((6, SIDE, SIDE, 3), np.uint8), []
    for i in range(6):
        left, top, right, bottom = 6 + i, 10, 22 + 2 * i, 40 - i
        pixels[i, top:bottom, left:right] = 255
        boxes.append(Boxes([[left, top, right, bottom]], [i % 3], difficult=[difficult]))
    return Source(pixels, boxes)


def test_a_still_scene_is_the_image_in_one_of_its_views_with_its_box():
    rng = np.random.default_rng(0)
    images, targets = scenes(source(), np.arange(6), (SIDE, SIDE), STILL, rng)
    for image, box, kind in zip(images, targets.boxes[:, 0], targets.classes[:, 0], strict=True):
        left, top, right, bottom = box.int().tolist()
        white = image[0].numpy() > 0
        assert white[top:bottom, left:right].all()
        assert white.sum() == (bottom - top) * (right - left)
        assert 0 <= kind < 3


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_boxes_follow_their_pixels(mosaic):
    """Within a pixel of rounding, what is white lies in boxes and boxes are white."""
    config = SceneConfig(mosaic=mosaic)
    images, targets = scenes(source(), np.arange(6), (64, 64), config, np.random.default_rng(3))
    for image, boxes, classes in zip(images, targets.boxes, targets.classes, strict=True):
        white, inside = image[0].numpy() > 127, np.zeros((64, 64), bool)
        for left, top, right, bottom in boxes[classes != PADDING].round().int().tolist():
            inside[top:bottom, left:right] = True
            core = white[top + 2 : bottom - 2, left + 2 : right - 2]
            assert core.all()
        grown = np.zeros_like(inside)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                grown |= np.roll(inside, (dy, dx), (0, 1))
        assert not (white & ~grown).any()


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_classes_and_weights_go_with_their_pixels(mosaic):
    """Every class has its brightness, and the boxes of the brightest are difficult."""
    pixels, boxes = np.zeros((6, SIDE, SIDE, 1), np.uint8), []
    for i in range(6):
        pixels[i, 8:40, 8:40] = 80 * (1 + i % 3)
        boxes.append(Boxes([[8, 8, 40, 40]], [i % 3], difficult=[i % 3 == 2]))
    config, told = SceneConfig(mosaic=mosaic, zoom=0.2), []
    for seed in range(4):
        images, targets = scenes(Source(pixels, boxes), np.arange(6), (96, 96), config, np.random.default_rng(seed))
        for k, image in enumerate(images[:, 0].numpy()):
            for box, kind, weight in zip(*(part[k] for part in targets), strict=True):
                left, top, right, bottom = box.int().tolist()
                if min(right - left, bottom - top) >= 16:  # none of those is a sliver
                    assert np.median(image[top:bottom, left:right]) == 80 * (1 + kind)
                    told.append((int(kind), float(weight)))
    assert set(told) == {(0, 1.0), (1, 1.0), (2, 0.0)}


@pytest.mark.parametrize(("width", "views"), [(SIDE, 8), (2 * SIDE, 4)])
def test_every_view_is_shown_and_none_that_changes_the_proportions(width, views):
    pixels = np.zeros((1, SIDE, width, 1), np.uint8)
    pixels[0, 4:10, 7:27] = 255
    one = Source(pixels, [Boxes([[7, 4, 27, 10]], [0])])
    images, targets = scenes(one, np.zeros(64, np.int64), (SIDE, width), STILL, np.random.default_rng(0))
    seen = {tuple(box.int().tolist()) for box in targets.boxes[:, 0]}
    assert len(seen) == views
    for image, box in zip(images, targets.boxes[:, 0], strict=True):
        left, top, right, bottom = box.int().tolist()
        assert image[0, top:bottom, left:right].float().mean() == 255
        assert (image[0] > 0).sum() == 120


@pytest.mark.parametrize(("stretch", "least", "most"), [(0.0, 1.0, 1.0), (0.5, 0.55, 1.8)])
def test_pictures_are_stretched_as_far_as_asked(stretch, least, most):
    pixels = np.zeros((1, 96, 96, 1), np.uint8)
    config = SceneConfig(mosaic=0.0, zoom=1.0, stretch=stretch)
    one = Source(pixels, [Boxes([[32, 32, 64, 64]], [0])])
    _, targets = scenes(one, np.zeros(200, np.int64), (96, 96), config, np.random.default_rng(0))
    width, height = (targets.boxes[:, 0, 2:] - targets.boxes[:, 0, :2]).T
    whole = (targets.boxes[:, 0, :2] > 0).all(1) & (targets.boxes[:, 0, 2:] < 96).all(1)
    ratio = (width / height)[whole].numpy()
    assert whole.sum() > 50
    assert ratio.min() == pytest.approx(least, abs=0.1)
    assert ratio.max() == pytest.approx(most, abs=0.25)


def test_defects_are_pasted_where_there_are_none_with_their_boxes_and_take_on_the_brightness_there():
    pixels, boxes = np.zeros((4, 96, 96, 1), np.uint8), []
    for i in range(4):
        pixels[i] = 100 + 20 * i  # each surface of its own brightness
        pixels[i, 10:40, 8:28] -= 60
        boxes.append(Boxes([[4, 6, 32, 44]], [2]))
    config = SceneConfig(mosaic=0.0, paste=1.0, zoom=0.0, stretch=0.0)
    images, targets = scenes(Source(pixels, boxes), np.arange(4).repeat(8), (96, 96), config, np.random.default_rng(0))
    pasted = 0
    for i, (image, found) in enumerate(zip(images[:, 0].numpy().astype(int), targets.boxes, strict=True)):
        (left, top, right, bottom), *others = found[targets.classes[i] != PADDING].round().int().tolist()
        surface = 100 + 20 * (i // 8)
        assert set(targets.classes[i].tolist()) <= {2, PADDING}
        for box in others:
            pasted += 1
            assert min(right, box[2]) <= max(left, box[0]) or min(bottom, box[3]) <= max(top, box[1])
            assert sorted((box[2] - box[0], box[3] - box[1])) == [28, 38]
            left_, top_, right_, bottom_ = box
            assert abs(np.median(image[top_:bottom_, left_:right_]) - (surface - 60)) <= 5
            image[top_:bottom_, left_:right_] = surface
        image[top:bottom, left:right] = surface
        assert (image == surface).all()  # nothing else has changed
    assert pasted >= 16


def test_a_defect_that_overlaps_another_is_not_pasted_without_it():
    pixels = np.zeros((2, 96, 96, 1), np.uint8)
    lapped, lone = Boxes([[4, 6, 32, 44], [10, 10, 24, 30]], [0, 0]), Boxes([[4, 6, 32, 44]], [0])
    config = SceneConfig(mosaic=0.0, paste=1.0, zoom=0.0, stretch=0.0)
    _, targets = scenes(Source(pixels, [lapped, lone]), np.arange(2), (96, 96), config, np.random.default_rng(0))
    counts = (targets.classes != PADDING).sum(1).tolist()
    assert counts == [3, 1]


@pytest.mark.parametrize("difficult", [False, True])
def test_nothing_is_pasted_from_images_of_other_classes_nor_from_difficult_boxes(difficult):
    pixels = np.full((2, 96, 96, 1), 128, np.uint8)
    pixels[1] = 200
    boxes = [Boxes([[4, 6, 32, 44]], [0 if difficult else i], difficult=[difficult]) for i in range(2)]
    pasted = SceneConfig(mosaic=0.0, paste=1.0, zoom=0.0, stretch=0.0)
    for seed in range(8):
        images, targets = scenes(Source(pixels, boxes), np.arange(2), (96, 96), pasted, np.random.default_rng(seed))
        for k, value in enumerate((128, 200)):
            assert (images[k] == value).all()
            assert targets.classes[k][targets.classes[k] != PADDING].tolist() == boxes[k].class_id.tolist()


def test_what_hardly_shows_is_ignored_and_difficult_boxes_are():
    images, targets = scenes(source(difficult=True), np.arange(6), (SIDE, SIDE), STILL, np.random.default_rng(0))
    assert images.shape == (6, 3, SIDE, SIDE)
    assert targets.weights.tolist() == [[0.0]] * 6
    rng, slivers, seen = np.random.default_rng(1), 0, []
    for zoom in [1.0, 6.0] * 40:
        _, cut = scenes(source(), np.arange(6), (SIDE, SIDE), replace(STILL, zoom=zoom), rng)
        sides = (cut.boxes[..., 2:] - cut.boxes[..., :2]).amin(-1)
        at_border = (cut.boxes <= 0).any(-1) | (cut.boxes >= SIDE).any(-1)
        narrow = (cut.classes != PADDING) & at_border & (sides < 9.9)
        slivers += int((narrow & (sides > 6)).sum()) if zoom == 1 else 0  # half of their box or so
        assert bool((cut.weights[narrow] == 0).all())
        seen += cut.weights[cut.classes != PADDING].tolist()
    assert slivers >= 2
    assert 0 in seen
    assert 1 in seen


def test_the_generator_decides_and_sources_stay_as_they_are():
    images = source()
    before = images.pixels.copy()
    a, b = (scenes(images, np.arange(6), (64, 64), SceneConfig(), np.random.default_rng(5)) for _ in range(2))
    assert (a[0] == b[0]).all()
    assert (a[1].boxes == b[1].boxes).all()
    assert (images.pixels == before).all()


def test_a_batch_of_images_without_boxes_has_padding_alone():
    empty = Source(source().pixels, [Boxes(np.zeros((0, 4)), [])] * 6)
    _, targets = scenes(empty, np.arange(6), (SIDE, SIDE), STILL, np.random.default_rng(0))
    assert targets.boxes.shape == (6, 1, 4)
    assert (targets.classes == PADDING).all()


@pytest.mark.parametrize(
    ("box", "shown", "ignored"),
    [
        ([10, 10, 40, 40], [10, 10, 40, 40], False),  # whole
        ([10, 10, 13, 13], [10, 10, 13, 13], False),  # whole, however small
        ([-20, 10, 20, 40], [0, 10, 20, 40], False),  # half of it
        ([-60, 10, 12, 40], [0, 10, 12, 40], True),  # a sixth
        ([-400, 50, 60, 54], [0, 50, 60, 54], False),  # a piece of a long scratch, through more than half
        ([-400, 50, 40, 54], [0, 50, 40, 54], True),  # less of it
        ([91, 10, 109, 40], [91, 10, 100, 40], True),  # half, but a sliver beside the border
    ],
)
def test_a_part_of_a_box_is_a_defect_or_to_be_ignored(box, shown, ignored):
    found = seen_in(Boxes([box, [120, 0, 130, 10]], [1, 0]), (100, 100))
    assert found.xyxy.tolist() == [shown]
    assert (found.class_id.tolist(), found.difficult.tolist()) == ([1], [ignored])


def test_half_of_a_picture_is_counted_along_its_own_side():
    scratch = Boxes([[-900, 50, 60, 54], [20, -900, 24, 60]], [0, 0])
    assert seen_in(scratch, (100, 200)).difficult.tolist() == [True, False]
    assert seen_in(scratch, (200, 100)).difficult.tolist() == [False, True]


def test_what_was_to_be_ignored_stays_so():
    assert seen_in(Boxes([[10, 10, 40, 40]], [0], difficult=[True]), (100, 100)).difficult.all()
