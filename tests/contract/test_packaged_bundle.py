"""The bundle that ships inside the package."""

import json
from dataclasses import replace

import numpy as np
import pytest

from millscale.data.classes import NEU_CLASSES
from millscale.runtime.bundle import open_bundle
from millscale.runtime.inspector import Inspector, packaged_bundle


@pytest.fixture(scope="module")
def inspector():
    return Inspector.open()


def test_it_ships_and_is_small():
    assert packaged_bundle().stat().st_size <= 10 * 2**20


def test_it_knows_the_six_defects_of_neu(inspector):
    assert inspector.card.classes == tuple(sorted(NEU_CLASSES))
    assert inspector.card.good_classes == ()


def test_its_card_says_how_good_it_is_and_on_what(inspector):
    card = inspector.card
    assert card.metrics["images"] == 1800
    assert card.metrics["intervals"]["accuracy"][0] <= card.metrics["accuracy"]
    assert "share pixels" in card.protocol
    assert card.dataset["images"] == 1800
    assert card.dataset["groups"] < 1800
    assert card.licence_notes
    assert card.provenance["backbones"][0]["name"] == "millscale_s"


def test_its_detector_is_small_and_says_how_good_it_is(inspector):
    bundle = open_bundle(packaged_bundle())
    (part,) = bundle.card.detectors
    assert len(bundle.members[part.file]) <= 4 * 2**20
    assert set(bundle.card.thresholds) == set(NEU_CLASSES)
    located = bundle.card.provenance["detector"]
    assert located["metrics"]["intervals"]["map50"][0] <= located["metrics"]["map50"]
    assert "a given split that leaks" in located["protocol"]


def test_it_locates_beside_its_verdict(inspector, steel):
    prediction = inspector.inspect(steel.records[0].path)
    assert prediction.boxes is not None
    known = replace(prediction, novelty=None, fault=None)
    assert inspector.decide(known).costs is not None  # the classifier decides


def test_inspect_needs_no_bundle_to_be_named(millscale, steel):
    done = millscale("inspect", steel.records[0].path, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["verdict"] in ("reject", "review")


def test_a_black_frame_is_a_fault_and_no_defect(inspector):
    found = inspector.inspect(np.zeros((200, 200), np.uint8))
    verdict = inspector.decide(found)
    assert (verdict.outcome, verdict.label) == ("review", "image fault")
    assert verdict.reason.startswith("image fault: black frame (highlights 0, expected ")
    assert len(inspector.counting(found)) == 0
