import numpy as np
import pytest

from millscale.features.backbone import open_backbones
from millscale.features.extract import extract
from millscale.imaging.preprocess import Preprocess
from millscale.learn.calibrate import calibrated, fit_temperature
from millscale.learn.loop import Candidate, HeadSearch, Score, cross_validate


@pytest.fixture(scope="module")
def search(steel, tiny_path):
    names = sorted({record.group for record in steel.records})
    folds = np.array([names.index(record.group) % 3 for record in steel.records])
    targets = np.array([steel.classes.index(record.label) for record in steel.records])
    features = extract(steel, open_backbones(str(tiny_path)), Preprocess())
    candidates = [Candidate("lda", 0.03), Candidate("lda", 0.9)]
    return HeadSearch(features, targets, folds, 6, views=8, candidates=candidates)


def silent(what, done, total):
    pass


def test_fewest_errors_win_then_the_smaller_log_loss():
    scores = [Score(1, 0.1), Score(0, 0.9), Score(0, 0.3), Score(2, 0.0)]
    assert min(scores) == Score(0, 0.3)


def test_the_winner_is_the_one_that_a_plain_nested_loop_chooses(search):
    """Each candidate judged on every other fold by a head that saw neither that fold nor the held-out one."""
    result = cross_validate(search, silent)
    for held in range(3):
        errors = {}
        for candidate in search.candidates:
            wrong = 0
            for other in {0, 1, 2} - {held}:
                head = search.train(candidate, (held, other))
                rows = np.flatnonzero(search.folds == other)
                logits = head.logits(search.features.rows(rows.tolist(), views=8))
                wrong += int((logits.argmax(1) != search.targets[rows]).sum())
            errors[candidate] = wrong
        assert errors[result.chosen[held]] == min(errors.values())


def test_predictions_are_those_of_the_winner_trained_on_the_other_folds(search):
    result = cross_validate(search, silent)
    for held in range(3):
        rows = np.flatnonzero(search.folds == held)
        head = search.train(result.chosen[held], (held,))
        logits = head.logits(search.features.rows(rows.tolist(), views=8))
        assert (result.probs[rows].argmax(1) == logits.argmax(1)).all()


def test_the_final_temperature_is_that_of_the_out_of_fold_scores(search):
    single = HeadSearch(search.features, search.targets, search.folds, 6, views=8, candidates=search.candidates[:1])
    result = cross_validate(single, silent)
    logits = np.zeros((72, 6))
    for held in range(3):
        rows = np.flatnonzero(search.folds == held)
        head = search.train(search.candidates[0], (held,))
        logits[rows] = head.logits(search.features.rows(rows.tolist(), views=8))
    assert result.temperature == pytest.approx(fit_temperature(logits, search.targets))
    assert result.candidate == search.candidates[0]
    (everything,) = [single.train(search.candidates[0], ())]
    np.testing.assert_array_equal(result.head.weight, everything.weight)
    assert np.isfinite(calibrated(logits, result.temperature)).all()


def test_labels_of_a_fold_touch_nothing_of_its_own_probabilities(search):
    """Neither the choice of the head nor its temperature may have looked at the fold that is judged."""
    plain = cross_validate(search, silent)
    rows = np.flatnonzero(search.folds == 1)
    targets = search.targets.copy()
    targets[rows] = np.random.default_rng(0).permutation(targets[rows])
    spoiled = HeadSearch(search.features, targets, search.folds, 6, views=8, candidates=search.candidates)
    found = cross_validate(spoiled, silent)
    np.testing.assert_allclose(found.probs[rows], plain.probs[rows], atol=1e-9)


def test_progress_ends_at_its_total(search):
    told = []
    cross_validate(search, lambda *step: told.append(step))
    assert [done for _, done, _ in told] == list(range(1, len(told) + 1))
    assert {total for _, _, total in told} == {len(told)}
