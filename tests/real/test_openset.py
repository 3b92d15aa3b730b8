"""A guard fitted on five defects of NEU must not take the sixth for one of them, nor another metal."""

import os

import numpy as np
import pytest

import millscale as ms
from millscale.features.backbone import open_backbones
from millscale.features.extract import averaged, extract
from millscale.imaging.preprocess import Preprocess
from millscale.learn.calibrate import calibrated, fit_temperature
from millscale.learn.heads import fit_lda, fold_moments
from millscale.learn.openset import fit_guard, fit_limits, unmeasured
from millscale.metrics.openset import accepted, auroc
from millscale.runtime.openset import ratios

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs the environment variable MILLSCALE_DATA: a folder with neu-cls, x-sdd and magnetic-tile"
)
FOLDS = 3


def features_of(images):
    found = extract(images, open_backbones("millscale_s"), Preprocess())
    return np.concatenate([averaged(chunk, 8) for chunk in found.chunks()])


@pytest.fixture(scope="module")
def neu(real):
    """Every fourth image: features, targets, and folds that keep overlapping crops together."""
    images = real.part("neu-cls", 4)
    parts = ms.split(images, folds=FOLDS, groups=real.groups(images))
    home = {name: k for k, fold in enumerate(parts.folds) for name in fold}
    targets = np.array([images.classes.index(record.label) for record in images.records])
    return features_of(images), targets, np.array([home[name] for name in images.ids])


def judged(features, targets, folds, asked):
    """What gives the ratios of strange features, by all images, and the ratios of the known ones held out."""
    x, classes = features[:, 0], int(targets.max()) + 1
    moments = fold_moments([features], targets, folds, classes)
    total = sum(moments[1:], start=moments[0])
    distances, logits = unmeasured(len(targets), classes), np.zeros((len(targets), classes))
    for own, part in ((folds == fold, total - moments[fold]) for fold in range(FOLDS)):
        distances.relative[own], distances.plain[own] = fit_guard(part).distances(x[own])
        logits[own] = fit_lda(part, 0.1).logits(x[own])
    temperature = fit_temperature(logits, targets)
    probs = calibrated(logits, temperature)
    limits, guard, head = fit_limits(distances, probs, targets, asked), fit_guard(total), fit_lda(total, 0.1)

    def of(strange):
        return ratios(guard.distances(strange), calibrated(head.logits(strange), temperature), limits)

    return of, ratios(distances, probs, limits)


def test_a_class_left_out_is_told_from_the_others(neu):
    features, targets, folds = neu
    found = []
    for left in range(6):
        known = targets != left
        names = targets[known] - (targets[known] > left)
        of, near = judged(features[known], names, folds[known], 0.05)
        far = of(features[~known, 0])
        found.append((auroc(near, far), accepted(near, far)))
    areas, shares = np.array(found).T
    assert areas.mean() >= 0.97
    assert areas.min() >= 0.91
    assert shares.mean() <= 0.1


def test_other_metals_are_unknown(real, neu):
    of, near = judged(*neu, 0.02)
    assert (near > 1).mean() <= 0.02
    for name, step in (("x-sdd", 45), ("magnetic-tile", 90)):
        far = of(features_of(real.part(name, step))[:, 0])
        assert (far > 1).mean() >= 0.9
