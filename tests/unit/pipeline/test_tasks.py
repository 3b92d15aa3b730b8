"""What a data set asks for by itself."""

from pathlib import Path

import numpy as np
import pytest

from millscale.core.types import Boxes
from millscale.data.manifest import ImageRecord, Manifest
from millscale.pipeline.tasks import task_of

BOX, NOTHING = Boxes([[1, 2, 3, 4]], [0]), Boxes(np.zeros((0, 4)), np.zeros(0))


def images(*kinds: tuple[int, str | None, Boxes | None]) -> Manifest:
    """So many images with this label and these boxes, of each kind."""
    records = [
        ImageRecord(f"{kind}-{k}.png", Path(f"{kind}-{k}.png"), label, boxes=boxes)
        for kind, (count, label, boxes) in enumerate(kinds)
        for k in range(count)
    ]
    return Manifest(tuple(records), ("dent", "good"), ".")


@pytest.mark.parametrize(
    ("kinds", "task"),
    [
        ([(6, "dent", BOX), (4, None, None)], "detect"),
        ([(4, "dent", BOX), (6, None, None)], "classify"),  # few are annotated: what the others show is not known
        ([(1, "dent", BOX), (9, None, NOTHING)], "detect"),  # a line's images, of which most show nothing
        ([(1, "dent", BOX), (4, None, NOTHING), (5, None, None)], "classify"),
        ([(4, "dent", BOX), (6, "good", NOTHING)], "classify"),  # a folder of good ones, and masks of the others
        ([(10, None, NOTHING)], "classify"),
        ([(10, "good", None)], "anomaly"),
        ([(5, "dent", None), (5, "good", None)], "classify"),
    ],
)
def test_boxes_and_labels_ask_for_a_task(kinds, task):
    assert task_of(images(*kinds)) == task


def test_a_frozen_backbone_is_for_a_classifier():
    assert task_of(images((10, "dent", BOX)), {"backbone": "millscale_s"}) == "classify"
