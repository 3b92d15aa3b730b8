"""Thresholds chosen anew, on pictures where each true defect is of 0.4 red, and as many spots of 0.2 are none."""

import numpy as np
import pytest

from millscale.core.errors import DataError, UsageError
from millscale.core.types import Boxes
from millscale.data.manifest import ImageRecord, Manifest
from millscale.pipeline.ensemble import ensemble
from millscale.runtime.arrays import npy
from millscale.runtime.bundle import SEEN, content_keys, make_bundle


@pytest.fixture
def images(grid, tmp_path) -> Manifest:
    records = []
    for k in range(6):
        path = tmp_path / f"{k}.png"
        path.write_bytes(
            grid.picture({(k % 4, k // 4): (102, 0, 0), (k % 4, 3): (51, 0, 0), (3 - k % 4, 2): (0, k, 9)})
        )
        corner = np.array([10 * (k % 4), 10 * (k // 4)])
        boxes = Boxes([[*corner, *(corner + 10)]], [0])
        records.append(ImageRecord(path.name, path, boxes=boxes, group=f"g{k}"))
    return Manifest(tuple(records), ("red", "green", "blue"), str(tmp_path))


@pytest.mark.parametrize("views", [None, 4])
def test_one_detector_gets_views_and_thresholds(bundles, images, views):
    made = ensemble([bundles.detector], "made", views=views, images=images)
    assert made.card.fusion is None
    assert [part.detection.views for part in made.card.parts] == [views or 1]
    assert made.card.thresholds["red"] == pytest.approx(0.3)
    assert made.card.metrics["ap50"]["red"] == 1.0
    assert "curves" not in made.card.metrics
    assert made.card.protocol.startswith("6 images of")


def test_fused_detectors_get_thresholds_of_the_fused_scores(bundles, images):
    """One sees the first cell only, so that the mean of the two is half of what one finds elsewhere."""
    made = ensemble([bundles.detector, bundles.one_eyed], "made", images=images.select(["1.png", "2.png", "3.png"]))
    assert made.card.thresholds["red"] == pytest.approx((0.2 + 0.1) / 2)


def test_a_classifier_beside_it_stays_as_it_is(bundles, images):
    made = ensemble([bundles.both], "made", images=images)
    assert [part.task for part in made.card.parts] == ["classify", "detect"]
    assert made.card.thresholds["red"] == pytest.approx(0.3)


def test_images_that_a_member_learned_from_are_refused(grid, images, tmp_path):
    keys = content_keys(record.content_hash for record in images.records[:2])
    bundle = make_bundle(grid.card(), {**grid.members, SEEN: npy(keys)}).save(tmp_path / "knows.millscale")
    with pytest.raises(DataError, match="found 2 of 6 that one has"):
        ensemble([bundle], "made", images=images)


def test_thresholds_want_a_detector(bundles, images):
    with pytest.raises(UsageError, match="data: expected a detector"):
        ensemble([bundles.classifier], "made", images=images)
