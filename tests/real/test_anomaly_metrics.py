"""Pixels of real masks, counted in bins, against the exact figures of the same maps."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from millscale.data.read import read
from millscale.imaging.decode import read_image
from millscale.metrics.anomaly_pixels import PixelCounts
from millscale.metrics.false_alarms import threshold_for

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs the environment variable MILLSCALE_DATA: a folder with magnetic-tile"
)


def roughness(path: Path) -> np.ndarray:
    """``(H, W)``: how much a pixel's neighbourhood differs from what lies around it."""
    pixels = read_image(path).astype(np.float32)
    grey = pixels if pixels.ndim == 2 else pixels.mean(2)
    fine, coarse = (ndimage.gaussian_filter(grey, sigma) for sigma in (2, 12))
    return np.abs(fine - coarse)


def test_counted_pixels_of_magnetic_tiles_agree_with_all_of_them() -> None:
    records = [record for record in read(Path(DATA or "") / "magnetic-tile").records if record.mask][::25]
    counts, scores, truth, regions = PixelCounts(), [], [], []
    for record in records:
        pixels, heat = read_image(record.mask), roughness(record.path)
        mask = (pixels if pixels.ndim == 2 else pixels.max(2)) > 127
        counts.add(heat, mask)
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [np.sort(heat[labels == label]) for label in range(1, count + 1)]
        scores.append(heat.ravel())
        truth.append(mask.ravel())
    values = counts.evaluate(resamples=20).values
    all_scores, all_truth = np.concatenate(scores), np.concatenate(truth)
    assert len(regions) == counts.regions > 10
    assert values["pixel_auroc"] == pytest.approx(roc_auc_score(all_truth, all_scores), abs=1e-4)
    good = np.sort(all_scores[~all_truth])
    thresholds = good[:: -max(1, len(good) // 20_000)]  # fine enough for four places
    x, *found = (1 - np.searchsorted(part, thresholds) / len(part) for part in (good, *regions))
    kept = x <= 0.3
    assert values["aupro"] == pytest.approx(np.trapezoid(np.mean(found, 0)[kept], x[kept]) / 0.3, abs=1e-3)


def test_a_threshold_of_good_tiles_rejects_as_many_other_good_tiles() -> None:
    manifest = read(Path(DATA or "") / "magnetic-tile")
    free = [record for record in manifest.records if record.label == "MT_Free"][::2]
    scores = np.array([float(np.quantile(roughness(record.path), 0.99)) for record in free])
    rng, realised = np.random.default_rng(0), []
    for _ in range(200):
        order = rng.permutation(len(scores))
        half = len(order) // 2
        realised.append((scores[order[half:]] >= threshold_for(scores[order[:half]], None, 0.02).threshold).mean())
    assert 0.013 < np.mean(realised) < 0.03
