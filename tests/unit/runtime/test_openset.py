"""The guard inside a bundle: kept, checked when opened, asked at every inspection."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest

from millscale.core.errors import ModelError, UsageError
from millscale.core.types import Novelty, Prediction
from millscale.runtime.bundle import Bundle, make_bundle, open_bundle
from millscale.runtime.card import Costs
from millscale.runtime.inspector import Inspector
from millscale.runtime.join import join
from millscale.runtime.openset import FILES, Limits, read_guard


@pytest.fixture(scope="module")
def bundle(trained) -> Bundle:
    return open_bundle(trained.bundle)


def test_a_trained_bundle_has_a_guard_and_says_how_often_it_errs(bundle):
    openset = bundle.card.openset
    assert openset.files == FILES
    assert openset.asked == 0.01
    assert bundle.card.metrics["unknown_rate"] == openset.measured <= 0.1
    assert sum(len(bundle.members[name]) for name in FILES) < 2**20


def test_what_is_written_is_read_back(bundle, tmp_path):
    again = open_bundle(bundle.save(tmp_path / "a.millscale"))
    assert again.card.openset == bundle.card.openset
    assert {name: again.members[name] for name in FILES} == {name: bundle.members[name] for name in FILES}


def test_the_inspector_gives_the_novelty_of_its_own_features(bundle, steel):
    inspector, limits = Inspector(bundle), Limits.of(bundle.card)
    guard = read_guard(bundle.members, bundle.card.openset, 6)
    for record in steel.records[::9]:
        found = inspector.inspect(record.path)
        assert found.novelty == guard.novelty(inspector.features(record.path), found.probs, limits)
        assert not found.novelty.unknown


@pytest.fixture(scope="module")
def inspector(millscale, steel, tmp_path_factory):
    """Of a bundle with the packaged backbone; the random one of ``trained`` sees too little."""
    folder = tmp_path_factory.mktemp("seeing")
    done = millscale("train", steel.source, "--out", folder, "--name", "seeing", "--set", "head=lda")
    assert done.code == 0, done.err
    return Inspector.open(folder / "seeing.millscale")


@pytest.mark.parametrize("pixels", ["black", "white", "grey", "noise"])
def test_pictures_of_nothing_are_unknown(inspector, pixels):
    noise = np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8)
    image = {"black": 0 * noise, "white": 0 * noise + 255, "grey": 0 * noise + 128, "noise": noise}[pixels]
    found = inspector.inspect(image)
    assert found.novelty is not None
    assert found.novelty.unknown
    verdict = inspector.decide(replace(found, fault=None, blank=False))
    assert (verdict.outcome, verdict.label) == ("review", "unknown")
    assert inspector.decide(found).label == "image fault"  # which is said first


@pytest.mark.parametrize("ratio", [1.0001, 2.0, float("nan")])
def test_the_unknown_is_for_a_person_whatever_the_probabilities_and_costs(bundle, ratio):
    inspector, probs = Inspector(bundle), np.eye(6, dtype=np.float32)[0]
    verdict = inspector.decide(Prediction(1.0, probs, novelty=Novelty(ratio, 2)), Costs(review=1e9))
    assert (verdict.outcome, verdict.label) == ("review", "unknown")
    assert verdict.reason == (
        f"unknown: unlike anything in training (distance {ratio:.1f} × the limit); the nearest known class is "
        f"{bundle.card.classes[2]}"
    )
    known = inspector.decide(Prediction(1.0, probs, novelty=Novelty(1.0, 2)))
    assert known == inspector.decide(Prediction(1.0, probs))
    assert known.label == bundle.card.classes[0]


def test_a_bundle_without_a_guard_opens_as_before(colours, tmp_path):
    path = colours.bundle().save(tmp_path / "a.millscale")
    inspector = Inspector.open(path)
    found = inspector.inspect(colours.picture())
    assert found.novelty is None
    assert inspector.decide(replace(found, fault=None)).label == "red"
    with pytest.raises(UsageError, match="expected a classifier that gives features, found none"):
        inspector.features(colours.picture())


def spoilt(bundle, name, array):
    buffer = BytesIO()
    np.save(buffer, array)
    return make_bundle(bundle.card.model_dump(exclude={"sha256"}), bundle.members | {name: buffer.getvalue()})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (FILES[0], lambda means: means[:-1]),
        (FILES[0], lambda means: means * np.float32("nan")),
        (FILES[0], lambda means: means.astype(object)),
        (FILES[1], lambda metric: metric[:-1]),
        (FILES[2], lambda metric: metric.astype(np.float64)),
        (FILES[2], lambda metric: metric[:, 0]),
    ],
)
def test_tampered_arrays_are_refused(bundle, name, change):
    array = np.load(BytesIO(bundle.members[name]))
    with pytest.raises(ModelError, match=r"(Guard|Bundle): expected .* arrays?"):
        spoilt(bundle, name, change(array))


def test_a_guard_of_other_features_than_the_networks_is_refused(bundle, steel):
    card, members = bundle.card, dict(bundle.members)
    for name, cut in ((FILES[0], np.s_[:, :-1]), (FILES[1], np.s_[:-1]), (FILES[2], np.s_[:-1])):
        buffer = BytesIO()
        np.save(buffer, np.load(BytesIO(members[name]))[cut])
        members[name] = buffer.getvalue()
    other = make_bundle(card.model_dump(exclude={"sha256"}), members)
    with pytest.raises(ModelError, match=r"Guard: expected 19 finite features, found \(20,\)"):
        Inspector(other).inspect(steel.records[0].path)


@pytest.mark.parametrize(
    "change",
    [
        {"limits": {"crazing": 1.0}},
        {"farthest": 0.0},
        {"farthest": float("inf")},
        {"usual_doubt": 0.1},
        {"power": -1.0},
        {"method": "guess"},
        {"more": 1},
    ],
)
def test_a_card_that_does_not_describe_a_guard_is_refused(bundle, change):
    card = bundle.card.model_dump(exclude={"sha256"})
    with pytest.raises(ModelError, match="does not fit its schema"):
        make_bundle(card | {"openset": card["openset"] | change}, bundle.members)


def test_an_absent_array_is_refused(bundle):
    members = {name: data for name, data in bundle.members.items() if name != FILES[1]}
    with pytest.raises(ModelError, match=f"{FILES[1]} is missing"):
        make_bundle(bundle.card.model_dump(exclude={"sha256"}), members)


def test_a_joined_bundle_keeps_the_guard(bundle, steel):
    image = steel.records[0].path
    assert Inspector(join([bundle], {})).inspect(image).novelty == Inspector(bundle).inspect(image).novelty


def test_an_array_that_is_a_zip_is_refused(bundle):
    members = bundle.members | {FILES[0]: b"PK\x03\x04rubbish"}
    with pytest.raises(ModelError, match=f"expected {FILES[0]} as a plain NumPy array"):
        make_bundle(bundle.card.model_dump(exclude={"sha256"}), members)
