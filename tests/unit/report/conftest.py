from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from millscale.metrics.predictions import Neighbours, PredictionTable
from millscale.report.report import Protocol, Report

NAMES = ("Crazing", "Inclusion", "Scratches")


@pytest.fixture
def build(tmp_path: Path):
    """A maker of prediction tables over striped images; ``errors`` of the rows are wrong."""

    def make(images=12, errors=2, names=NAMES, nearest=2, groups=None, fold=None, file="image {}.png"):
        truth = np.arange(images) % len(names)
        paths = tuple(tmp_path / file.format(i) for i in range(images))
        for i, path in enumerate(paths):
            stripes = np.tile(np.arange(40, dtype=np.uint8) * (i % 5 + 1), (30, 1))
            Image.fromarray(stripes if i % 2 else np.stack([stripes] * 3, axis=-1)).save(path)
        probs = np.full((images, len(names)), 0.1 / max(1, len(names) - 1))
        guess = truth.copy()
        guess[:errors] = (truth[:errors] + 1) % len(names)
        probs[np.arange(images), guess] = 0.9 if len(names) > 1 else 1.0
        labels = tuple(names[i] for i in truth)
        ids = tuple(path.name for path in paths)
        index = (np.arange(images)[:, None] + np.arange(1, nearest + 1)) % images
        near = Neighbours(index, np.full(index.shape, 0.75), ids, paths, labels) if nearest else None
        return PredictionTable(ids, paths, labels, tuple(names), probs, groups, fold, near)

    return make


@pytest.fixture
def report_of():
    def make(table, protocol=Protocol("5-fold cross-validation by group", "the other folds", 0.0), **fields):
        return Report(table, table.evaluate(resamples=50), protocol, **fields)

    return make
