"""A dozen answers name six kinds of steel defect, and wrong labels come out first."""

import os

import numpy as np
import pytest

from millscale.data.labels import with_labels
from millscale.features.backbone import open_backbones
from millscale.features.extract import extract
from millscale.imaging.preprocess import Preprocess
from millscale.learn.few_labels import Surroundings
from millscale.learn.label_errors import label_ranking
from millscale.pipeline.answers import Answers, apply
from millscale.pipeline.labelling import questions

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs the environment variable MILLSCALE_DATA: a folder with neu-cls and x-sdd"
)


def test_a_dozen_answers_are_enough_for_neu(real) -> None:
    images = real.part("neu-cls", 4)
    truth = {record.id: str(record.label) for record in images.records}
    labels: dict[str, str] = {}
    for count in (8, 4):
        asked = questions(images, labels, count).asked
        labels = apply(Answers({one.image: truth[one.image] for one in asked}, {}), labels).labels
    assert len(labels) == 12
    assert set(labels.values()) == set(images.classes)
    groups = real.groups(images)
    shown = {groups[image] for image in labels}
    assert len(shown) == 12
    targets = np.array([images.classes.index(labels[i]) if i in labels else -1 for i in images.ids])
    vectors = extract(images, open_backbones("millscale_s"), Preprocess()).rows(range(len(images)), views=8)
    said = Surroundings(vectors[:, None]).learn(targets, len(images.classes)).probs.argmax(1)
    tested = [k for k, image in enumerate(images.ids) if groups[image] not in shown]
    assert np.mean([images.classes[said[k]] == truth[images.ids[k]] for k in tested]) >= 0.97


@pytest.mark.parametrize(("name", "step"), [("neu-cls", 4), ("x-sdd", 3)])
def test_flipped_labels_lead_the_ranking(real, name: str, step: int) -> None:
    images = real.part(name, step)
    images = images.with_groups(real.groups(images))
    rng = np.random.default_rng(0)
    wrong = rng.permutation(len(images))[: round(0.05 * len(images))]
    labels = {record.id: str(record.label) for record in images.records}
    for row in wrong.tolist():
        record = images.records[row]
        labels[record.id] = str(rng.choice([one for one in images.classes if one != record.label]))
    found = label_ranking(with_labels(images, labels), progress=lambda *_: None)
    assert np.isin(found.order[: len(wrong)], wrong).mean() >= 0.9
