"""Maps of models that look at known places only."""

from dataclasses import replace

import numpy as np
import pytest

from millscale.core.errors import DataError, UsageError
from millscale.core.types import Boxes
from millscale.explain.answers import Asking
from millscale.explain.config import ExplainConfig
from millscale.explain.explain import explain_boxes, explain_class
from millscale.explain.faithfulness import areas, changed_images
from millscale.explain.fill import filled
from millscale.explain.target import Target
from millscale.imaging.decode import decode_image
from millscale.runtime.inspector import Inspector

CONFIG = ExplainConfig(masks=200, cells=8, fill="mean")
RED, GREEN = (1, 2), (3, 0)  # column, row


@pytest.fixture(scope="module")
def image(grid):
    return decode_image(grid.picture({RED: (255, 0, 0), GREEN: (0, 204, 0)}))


@pytest.fixture(scope="module")
def detector(bundles):
    return Inspector.open(bundles.detector)


@pytest.fixture(scope="module")
def explained(detector, image):
    return explain_boxes(detector, image, detector.counting(detector.inspect(image)), CONFIG)


def inside(heat, cell):
    """Whether the hottest pixel is in the cell, and the mean heat in it and elsewhere."""
    column, row = cell
    there = np.zeros(heat.shape, np.bool_)
    there[10 * row : 10 * row + 10, 10 * column : 10 * column + 10] = True
    return bool(there.ravel()[heat.argmax()]), heat[there].mean(), heat[~there].mean()


def test_each_map_peaks_in_the_one_cell_that_its_box_depends_on(explained):
    assert [(one.target.label, one.target.xyxy) for one in explained] == [
        ("red", (10, 20, 20, 30)),
        ("green", (30, 0, 40, 10)),
    ]
    for one, cell in zip(explained, (RED, GREEN), strict=True):
        peaks, within, elsewhere = inside(one.heat, cell)
        assert peaks
        assert within > elsewhere + 0.35
        assert (one.heat.shape, one.heat.min(), one.heat.max()) == ((40, 40), 0, 1)


@pytest.mark.parametrize("fill", ["mean", "blur"])
def test_the_map_of_a_class_peaks_where_its_colour_is(bundles, grid, fill):
    image = decode_image(grid.picture({(2, 1): (255, 0, 0)}))
    found = explain_class(Inspector.open(bundles.classifier), image, replace(CONFIG, fill=fill))
    assert (found.target.label, found.target.xyxy) == ("red", None)
    assert found.target.score == pytest.approx(np.exp(0.5) / (np.exp(0.5) + 2), abs=1e-5)
    assert inside(found.heat, (2, 1))[0]


def test_maps_pass_their_test(explained):
    for one in explained:
        assert one.faithfulness.better
        assert one.faithfulness.deletion < one.faithfulness.random_deletion
        assert one.faithfulness.insertion > one.faithfulness.random_insertion


def test_a_true_map_is_more_faithful_than_the_same_map_inverted(detector, image, explained):
    one = explained[0]
    hidden = filled(image, "mean")

    def difference(heat):
        asking = Asking(detector, [one.target], 20)
        whole, nothing = asking.remains([image, hidden])[:, 0]
        curve = asking.remains(changed_images(image, hidden, heat, CONFIG.steps))[:, 0]
        deletion, insertion = areas(curve, whole, nothing)
        return deletion, insertion

    deletion, insertion = difference(one.heat)
    assert (deletion, insertion) == pytest.approx((one.faithfulness.deletion, one.faithfulness.insertion))
    worse = difference(1 - one.heat)
    assert worse[0] > deletion + 0.2
    assert worse[1] < insertion - 0.2


def test_the_seed_decides_and_a_companion_changes_nothing(detector, image, explained):
    boxes = detector.counting(detector.inspect(image))
    alone = Boxes(boxes.xyxy[1:], boxes.class_id[1:], boxes.score[1:])
    (again,) = explain_boxes(detector, image, alone, CONFIG)
    (other,) = explain_boxes(detector, image, alone, replace(CONFIG, seed=1))
    np.testing.assert_array_equal(again.heat, explained[1].heat)
    assert not np.array_equal(other.heat, again.heat)


def test_where_nothing_makes_a_difference_the_map_is_empty_and_says_so(bundles):
    found = explain_class(Inspector.open(bundles.classifier), np.zeros((40, 40), np.uint8), CONFIG)
    assert not found.heat.any()
    assert not found.faithfulness.better
    assert "NO better than random (0 of 9 beaten), do not rely on this map" in found.words


def test_a_grey_image_of_any_shape_has_a_map_of_its_own_size(detector):
    grey = np.zeros((20, 60), np.uint8)
    grey[:, 45:] = 255
    boxes = detector.inspect(grey).boxes
    place = np.flatnonzero((boxes.xyxy == [45, 0, 60, 5]).all(1) & (boxes.class_id == 0))
    (found,) = explain_boxes(detector, grey, Boxes(boxes.xyxy[place], [0], boxes.score[place]), CONFIG)
    row, column = np.unravel_index(found.heat.argmax(), found.heat.shape)
    assert found.heat.shape == (20, 60)
    assert row < 5
    assert column >= 45


def test_progress_is_told_to_the_end(detector, image):
    told = []
    boxes = detector.counting(detector.inspect(image))
    explain_boxes(detector, image, boxes, ExplainConfig(masks=16, steps=3, random=2), lambda *one: told.append(one))
    total = 16 + 2 + 2 * 2 * (2 + 2)  # masks, whole and hidden, two steps in between of two curves of four maps
    assert told[-1] == ("explain", total, total)
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})


def test_many_images_are_asked_about_in_their_order(detector, grid):
    reds = np.arange(0, 255, 3)
    target = Target(0, "red", 1.0, (0.0, 0.0, 10.0, 10.0))
    images = (decode_image(grid.picture({(0, 0): (red, 0, 0)})) for red in reds)
    np.testing.assert_allclose(Asking(detector, [target], 85).remains(images)[:, 0], reds / 255, atol=1e-6)


def test_only_a_detector_explains_boxes_and_only_a_classifier_a_class(bundles, detector, image):
    with pytest.raises(UsageError, match="Bundle 'colour': expected a detector, found only a classifier"):
        explain_boxes(Inspector.open(bundles.classifier), image, Boxes([[0, 0, 9, 9]], [0]), CONFIG)
    with pytest.raises(UsageError, match="Bundle 'grid': expected a classifier, found only a detector"):
        explain_class(detector, image, CONFIG)


def test_no_box_is_nothing_to_explain(detector, image):
    with pytest.raises(DataError, match="Expected a box to explain, found none in the image"):
        explain_boxes(detector, image, Boxes(np.zeros((0, 4)), np.zeros(0)), CONFIG)


def test_pixels_that_are_none_are_refused(detector):
    with pytest.raises(UsageError, match=r"expected \(H, W, 3\) RGB or \(H, W\) grey, uint8"):
        explain_boxes(detector, np.zeros((40, 40), np.float32), Boxes([[0, 0, 9, 9]], [0]), CONFIG)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": 14}, "masks: expected an even number of at least 16, found 14"),
        ({"masks": 101}, "masks: expected an even number of at least 16, found 101"),
        ({"fill": "black"}, "fill: expected one of blur, mean, found 'black'"),
        ({"cells": 1}, "cells: expected at least 2, found 1"),
        ({"steps": 1}, "steps: expected at least 2, found 1"),
        ({"random": 0}, "random: expected at least 1, found 0"),
        ({"seed": -1}, "seed: expected at least 0, found -1"),
    ],
)
def test_work_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        ExplainConfig(**changes)
