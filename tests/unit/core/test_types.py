import dataclasses

import numpy as np
import pytest

from millscale.core.types import Boxes, Prediction, Problem


def test_boxes_fill_in_scores_and_flags():
    boxes = Boxes(np.array([[0, 0, 2, 3], [1, 1, 5, 5]]), np.array([4, 0]))
    assert len(boxes) == 2
    assert (boxes.xyxy.dtype, boxes.class_id.dtype) == (np.float32, np.int64)
    assert boxes.score.tolist() == [1.0, 1.0]
    assert boxes.difficult.tolist() == [False, False]


def test_no_boxes_are_still_four_columns():
    boxes = Boxes(np.zeros((0, 4)), np.zeros(0))
    assert boxes.xyxy.shape == (0, 4)
    assert len(boxes) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"class_id": np.array([0])},
        {"class_id": np.array([0, 0, 0])},
        {"class_id": np.array([0, 0]), "score": np.array([0.5])},
        {"class_id": np.array([0, 0]), "difficult": np.array([True])},
    ],
)
def test_parts_of_different_lengths_are_refused(fields):
    with pytest.raises(ValueError, match=r"Boxes\.\w+: expected 2 entries like xyxy, got"):
        Boxes(np.zeros((2, 4)), **fields)


def test_boxes_neither_change_nor_follow_the_arrays_they_were_given():
    xyxy, class_id = np.array([[0.0, 0.0, 2.0, 2.0]], np.float32), np.array([1])
    boxes = Boxes(xyxy, class_id)
    xyxy[0, 0] = 9
    class_id[0] = 7
    assert boxes.xyxy[0, 0] == 0
    assert boxes.class_id[0] == 1
    xyxy[0, 1] = 3  # the caller's array stays writeable


@pytest.mark.parametrize("name", ["xyxy", "class_id", "score", "difficult"])
def test_boxes_cannot_be_changed(name):
    boxes = Boxes(np.zeros((1, 4)), np.zeros(1))
    with pytest.raises(ValueError, match="read-only"):
        getattr(boxes, name)[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(boxes, name, None)


def test_a_prediction_has_only_what_its_model_gives():
    prediction = Prediction(0.25)
    assert (prediction.probs, prediction.boxes, prediction.anomaly_map) == (None, None, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.score = 0.75


@pytest.mark.parametrize(
    ("path", "message", "image", "told"),
    [
        ("a/1.xml:3", "inverted.", "images/1.jpg", "a/1.xml:3: inverted"),  # the file bears the image's name
        ("coco.json:1", "inverted", "images/1.jpg", "coco.json:1: images/1.jpg: inverted"),
        ("coco.json:1", "images/1.jpg is gone", "images/1.jpg", "coco.json:1: images/1.jpg is gone"),
        ("a/b.png", "a/b.png: no image", None, "a/b.png: no image"),
        ("patches", "empty", None, "patches: empty"),
    ],
)
def test_a_problem_names_its_file_and_its_image_once(path, message, image, told):
    assert Problem("code", path, message, "mend it", image=image).told == told
