import json

import pytest

from millscale.core.errors import ModelError
from millscale.runtime.bundle import open_bundle
from millscale.runtime.card import Card, Costs, Fusion


def test_the_card_survives_json(colours):
    card = colours.bundle().card
    assert Card.model_validate(json.loads(card.model_dump_json())) == card


def test_costs_left_out_are_the_usual_ones(colours):
    assert colours.bundle().card.costs == Costs(escape=10, overkill=1, mislabel=1, review=0.2)
    assert colours.bundle(colours.card(costs={"review": 3})).card.costs == Costs(review=3)


def test_limits_of_image_quality_are_kept_and_may_be_missing(colours, tmp_path):
    limits = {"highlights": (60.5, 255.0), "sharpness": (0.04, 99.0)}
    for given in (limits, {}, None):
        path = colours.bundle(colours.card(quality=given)).save(tmp_path / "a.millscale")
        assert open_bundle(path).card.quality == given
    assert colours.bundle().card.quality is None  # a card from before there were any


@pytest.mark.parametrize(
    "limits", [{"smell": (0, 1)}, {"noise": (1, 0)}, {"noise": (0, float("nan"))}, {"noise": (0,)}]
)
def test_limits_that_no_sensor_can_keep_are_refused(colours, limits):
    with pytest.raises(ModelError, match="the card does not fit its schema at 'quality"):
        colours.bundle(colours.card(quality=limits))


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ([[(0, 0), (1, 1)]], "a scale for each of 2 detectors, found 1"),
        (2 * [[(0, 0), (0.5, 0.6), (0.5, 0.7), (1, 1)]], "scales that rise"),
        (2 * [[(0, 0), (0.5, 0.6), (0.6, 0.5), (1, 1)]], "scales that rise"),
        (2 * [[(0, 0), (0.5, 0.6)]], "scales that rise"),
        (2 * [[(0, 0.1), (1, 1)]], "scales that rise"),
        (2 * [[(0, 0), (0, 0.5), (1, 1)]], "scales that rise"),
        (2 * [[(1, 1)]], "at least 2 items"),
        (2 * [[(0, 0), (0.5, 1.5), (1, 1)]], "less than or equal to 1"),
    ],
)
def test_scales_that_would_turn_scores_over_are_refused(scales, message):
    with pytest.raises(ValueError, match=message):
        Fusion(weights=(1, 1), thresholds={}, scales=scales)
    assert Fusion(weights=(1, 1), thresholds={}, scales=2 * [[(0, 0), (0.5, 0.2), (0.7, 0.2), (1, 0.9)]]).scales
