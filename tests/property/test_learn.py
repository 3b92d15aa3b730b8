"""What must not change when something that does not matter does."""

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millscale.features.backbone import open_backbones
from millscale.features.graph import classifier_graph
from millscale.learn.calibrate import calibrated, conformal_threshold, fit_temperature
from millscale.learn.heads import fold_moments
from millscale.learn.probe import ProbeConfig, train_probe
from millscale.learn.recipe import Task
from millscale.runtime.backends.onnxruntime import Network

sides = st.integers(8, 40)
seeds = st.integers(0, 2**31)
quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def dihedral(image):
    for upright in (image, image.transpose(1, 0, 2)):
        yield from (upright, upright[::-1], upright[:, ::-1], upright[::-1, ::-1])


@quick
@given(height=sides, width=sides, seed=seeds)
def test_with_eight_views_an_image_may_lie_any_way_round(tiny_path, height, width, seed):
    rng = np.random.default_rng(seed)
    head = rng.normal(size=(20, 3)), rng.normal(size=3)
    network = Network(classifier_graph(open_backbones(str(tiny_path)), *head, views=8), "eight", threads=1)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    probs = [network.run({"images": view[None].copy()}, ["probs"])[0][0] for view in dihedral(image)]
    np.testing.assert_allclose(probs, np.broadcast_to(probs[0], (8, 3)), atol=1e-5)


@quick
@given(seed=seeds, order=st.permutations(range(4)))
def test_moments_may_be_added_in_any_order(seed, order):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(60, 2, 5)).astype(np.float32) + 3
    parts = fold_moments([features[:25], features[25:]], rng.integers(0, 3, 60), np.arange(60) % 4, 3)
    forwards, shuffled = reduce(add, parts), reduce(add, [parts[k] for k in order])
    for name in ("count", "total", "scatter"):
        np.testing.assert_allclose(getattr(forwards, name), getattr(shuffled, name), rtol=1e-10, atol=1e-10)


@settings(quick, max_examples=5)
@given(seed=seeds)
def test_predictions_do_not_depend_on_the_order_of_the_images(steel, tiny_path, tmp_path, seed):
    names = sorted({record.group for record in steel.records})
    folds = np.array([names.index(record.group) % 4 for record in steel.records])
    task = Task(steel, folds, 0, tmp_path, lambda *_: None)
    order = np.random.default_rng(seed).permutation(len(steel))
    records = tuple(steel.records[i] for i in order)
    shuffled = replace(task, manifest=replace(steel, records=records), folds=folds[order])
    config = ProbeConfig(str(tiny_path), head="lda")
    first, second = train_probe(task, config), train_probe(shuffled, config)
    np.testing.assert_allclose(second.probs, first.probs[order], atol=1e-6)
    np.testing.assert_allclose(second.reference, first.reference[order], atol=1e-6)


@quick
@given(seed=seeds, factor=st.floats(0.1, 10))
def test_the_size_of_logits_does_not_matter_once_calibrated(seed, factor):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 60)
    logits = rng.normal(size=(60, 3)) + 2 * (np.arange(3) == y[:, None])
    plain, scaled = (calibrated(z, fit_temperature(z, y)) for z in (logits, logits * factor))
    np.testing.assert_allclose(plain, scaled, atol=1e-3)


@quick
@given(seed=seeds, n=st.integers(1, 80), miscoverage=st.floats(0.01, 0.9))
def test_conformal_sets_hold_the_truth_of_enough_calibration_images(seed, n, miscoverage):
    probs = np.random.default_rng(seed).dirichlet([1, 1, 1], n)
    y = np.random.default_rng(seed + 1).integers(0, 3, n)
    threshold = conformal_threshold(probs, y, miscoverage)
    assert (1 - probs[np.arange(n), y] <= threshold).mean() >= 1 - miscoverage
