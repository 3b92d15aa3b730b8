"""Five labels of each class must name nearly all of NEU, and teach a model for images that it never saw."""

import os

import numpy as np
import pytest

import millscale as ms
from millscale.features.backbone import open_backbones
from millscale.features.extract import averaged, extract
from millscale.imaging.preprocess import Preprocess
from millscale.learn.learning_curve import learning_curve

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs the environment variable MILLSCALE_DATA: a folder with neu-cls and x-sdd"
)


@pytest.mark.parametrize(("data", "step", "spread", "head"), [("neu-cls", 4, 0.97, 0.95), ("x-sdd", 3, 0.88, 0.86)])
def test_five_labels_of_each_class(real, data, step, spread, head):
    images = real.part(data, step)
    groups = real.groups(images)
    parts = ms.split(images, folds=5, groups=groups)
    features = extract(images, open_backbones("millscale_s"), Preprocess())
    (point,) = learning_curve(
        np.concatenate([averaged(chunk, 4) for chunk in features.chunks()]),
        np.array([images.classes.index(record.label) for record in images.records]),
        np.unique([groups[name] for name in images.ids], return_inverse=True)[1],
        parts.fold_of(images.ids),
        [5],
        draws=3,
        seed=0,
        progress=lambda *_: None,
    )
    assert point.spread.mean() > spread
    assert point.head.mean() > head
    assert point.head.mean() > point.alone.mean()
