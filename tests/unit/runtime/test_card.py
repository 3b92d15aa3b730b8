import json

from millscale.runtime.card import Card, Costs


def test_the_card_survives_json(colours):
    card = colours.bundle().card
    assert Card.model_validate(json.loads(card.model_dump_json())) == card


def test_costs_left_out_are_the_usual_ones(colours):
    assert colours.bundle().card.costs == Costs(escape=10, overkill=1, mislabel=1, review=0.2)
    assert colours.bundle(colours.card(costs={"review": 3})).card.costs == Costs(review=3)
