"""Costs worked out by hand: pass = escape·P(defect), reject = overkill·P(good) + mislabel·P(other defect)."""

import numpy as np
import pytest
from pydantic import ValidationError

from millscale.runtime.card import Costs
from millscale.runtime.decide import decide_class

CLASSES = ("good", "pits", "scale")
USUAL = Costs()  # escape 10, overkill 1, mislabel 1, review 0.2
PLAIN = Costs(escape=2, overkill=1, mislabel=0, review=10)


@pytest.mark.parametrize(
    ("probs", "costs", "outcome", "label", "reason"),
    [
        # pass 10·.01 = .1; reject .99; review .2
        ([0.99, 0.01, 0.00], USUAL, "pass", "good", "no defect at 99.0%"),
        # pass 10·.03 = .3; reject .97; review .2
        ([0.97, 0.02, 0.01], USUAL, "review", "good", "good at 97% is not sure enough"),
        # pass 9.5; reject .05 + .05 = .1; review .2
        ([0.05, 0.90, 0.05], USUAL, "reject", "pits", "pits at 90.0%"),
        # pass 9.0; reject .1 + .15 = .25; review .2
        ([0.10, 0.75, 0.15], USUAL, "review", "pits", "pits at 75% is not sure enough"),
        # pass 2·.3 = .6; reject .7; review 10
        ([0.70, 0.20, 0.10], PLAIN, "pass", "good", "no defect at 70.0%"),
        # pass 2·.4 = .8; reject .6: rejected although good is the likeliest class
        ([0.60, 0.15, 0.25], PLAIN, "reject", "good", "scale at 25.0%"),
        # free mislabels: pass 20; reject 0
        ([0.00, 0.50, 0.50], PLAIN, "reject", "pits", "pits at 50.0%"),
    ],
)
def test_the_cheapest_verdict_is_given(probs, costs, outcome, label, reason):
    verdict = decide_class(np.array(probs), CLASSES, ("good",), costs)
    assert (verdict.outcome, verdict.label) == (outcome, label)
    assert verdict.confidence == pytest.approx(max(probs))
    assert verdict.reason.startswith(reason)
    assert verdict.costs is costs


@pytest.mark.parametrize(
    ("probs", "outcome"),
    [
        ([0.85, 0.10, 0.05], "reject"),  # pass 10; reject .15; review .2
        ([0.75, 0.20, 0.05], "review"),  # pass 10; reject .25; review .2
        ([0.00, 0.00, 1.00], "reject"),
    ],
)
def test_without_a_good_class_nothing_passes(probs, outcome):
    assert decide_class(np.array(probs), ("a", "b", "c"), (), USUAL).outcome == outcome


@pytest.mark.parametrize(
    ("probs", "outcome", "reason"),
    [
        # good is .5 + .49 = .99: pass .1; the label is still the likeliest single class
        ([0.50, 0.49, 0.01], "pass", "no defect at 99.0%"),
        # good .04: pass 9.6; reject .04 + 0
        ([0.02, 0.02, 0.96], "reject", "c at 96.0%"),
    ],
)
def test_several_good_classes_count_together(probs, outcome, reason):
    verdict = decide_class(np.array(probs), ("a", "b", "c"), ("a", "b"), USUAL)
    assert verdict.outcome == outcome
    assert verdict.reason.startswith(reason)


def test_where_every_class_is_good_everything_passes():
    assert decide_class(np.array([0.5, 0.5]), ("a", "b"), ("a", "b"), USUAL).outcome == "pass"


def test_escape_that_costs_nothing_passes_all():
    costs = Costs(escape=0, overkill=1, mislabel=1, review=0.2)
    assert decide_class(np.array([0.0, 1.0, 0.0]), CLASSES, ("good",), costs).outcome == "pass"


@pytest.mark.parametrize("field", ["escape", "overkill", "mislabel", "review"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_costs_are_finite_and_not_negative(field, value):
    with pytest.raises(ValidationError):
        Costs.model_validate({field: value})


def test_probabilities_are_not_changed():
    probs = np.array([0.2, 0.5, 0.3])
    decide_class(probs, CLASSES, ("good",), USUAL)
    assert probs.tolist() == [0.2, 0.5, 0.3]
