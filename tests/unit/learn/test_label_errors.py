from dataclasses import replace

import numpy as np
import pytest

from millscale.data.synthetic import make_dataset
from millscale.learn.label_errors import rank_labels, suspect_labels
from millscale.pipeline.summary import silent


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    kinds = ("crazing", "patches", "scratches")
    return make_dataset(tmp_path_factory.mktemp("labels"), per_class=15, size=128, crops_per_sheet=(1, 1), kinds=kinds)


def test_images_under_a_wrong_name_are_found_with_their_right_one(images):
    wrong = {"crazing/crazing_00003.bmp": "patches", "scratches/scratches_00005.bmp": "crazing"}
    records = tuple(replace(r, label=wrong.get(r.id, r.label)) for r in images.records)
    told = []
    found = suspect_labels(replace(images, records=records), progress=lambda *step: told.append(step))
    named = {suspect.image: suspect for suspect in found}
    assert set(wrong) <= set(named)
    assert len(found) <= 4
    for image, label in wrong.items():
        assert (named[image].label, named[image].suggestion) == (label, image.partition("/")[0])
        assert named[image].suggestion in named[image].reason
    assert {what for what, _, _ in told} == {"features"}


def test_of_a_class_in_one_group_no_label_is_doubted(images):
    """The model that judges it has seen no other image of it, and is sure that it is something else."""
    records = [replace(r, group="one" if r.label == "crazing" else r.id) for r in images.records]
    assert not suspect_labels(replace(images, records=tuple(records)), progress=lambda *_: None)


def test_where_the_rest_of_a_class_was_itself_doubted_no_label_of_it_is(images):
    """One odd image in a group of its own taught nobody the class, so that the judge of the others never saw it."""
    kept = [r for r in images.records if r.label in ("crazing", "patches")]
    odd = next(r.id for r in kept if r.label == "patches")
    records = [
        replace(r, label="crazing") if r.id == odd else replace(r, group="one" if r.label == "crazing" else r.id)
        for r in kept
    ]
    found = suspect_labels(replace(images, records=tuple(records), classes=("crazing", "patches")), progress=silent)
    assert {suspect.image for suspect in found} <= {odd}


def clouds(seed, n=240, classes=3):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    return 6 * np.eye(classes, 8)[targets] + rng.normal(size=(n, 8)), targets, rng.integers(0, 5, n)


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_wrong_labels_lead_the_ranking_though_they_teach_as_well(share):
    vectors, truth, folds = clouds(0)
    wrong = np.random.default_rng(1).permutation(len(truth))[: int(share * len(truth))]
    labels = truth.copy()
    labels[wrong] = (truth[wrong] + 1) % 3
    found = rank_labels(vectors, labels, folds, 3)
    assert set(found.order[: len(wrong)].tolist()) == set(wrong.tolist())
    assert (found.suggestion[wrong] == truth[wrong]).all()
    assert (found.suggestion != labels).all()
    assert (found.doubt[wrong] > 0.5).all()
    assert (np.delete(found.doubt, wrong) < 0.5).all()
    assert (np.diff(found.doubt[found.order]) <= 0).all()


def test_the_order_of_the_images_does_not_matter_to_the_ranking():
    vectors, labels, folds = clouds(2)
    order = np.random.default_rng(0).permutation(len(labels))
    one = rank_labels(vectors, labels, folds, 3)
    two = rank_labels(vectors[order], labels[order], folds[order], 3)
    np.testing.assert_allclose(one.doubt[order], two.doubt, atol=1e-9)


def test_a_class_of_one_group_and_one_without_images_are_no_trouble():
    vectors, labels, folds = clouds(3)
    folds[labels == 2] = 0
    found = rank_labels(vectors, labels, folds, 4)
    assert np.isfinite(found.doubt).all()
    assert (found.suggestion != 3).all()
