import json
from dataclasses import FrozenInstanceError, fields

import pytest

from millscale.core import plugins
from millscale.core.errors import UsageError
from millscale.learn.probe import ProbeConfig
from millscale.pipeline.config import RECIPES, TrainConfig, recipe_config
from millscale.runtime.card import Costs


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ProbeConfig()),
        ({"views": "1"}, ProbeConfig(views=1)),
        ({"views": 1}, ProbeConfig(views=1)),
        ({"head": "lda", "size": "64", "backbone": "a+b"}, ProbeConfig("a+b", head="lda", size=64)),
    ],
)
def test_options_are_read_as_their_fields_type(options, expected):
    assert recipe_config("probe", options) == expected


@pytest.mark.parametrize("recipe", ["detect", "detect_semi"])
def test_a_choice_of_numbers_is_read_from_words(recipe):
    assert recipe_config(recipe, {"views": "8", "tile": "256"}).views == 8
    with pytest.raises(UsageError, match="views: expected 1 or 2 or 4 or 8, found '3'"):
        recipe_config(recipe, {"views": "3"})


@pytest.mark.parametrize("recipe", plugins.names(RECIPES))
def test_every_default_can_be_given_in_words(recipe):
    config = plugins.load(RECIPES, recipe).Config()
    words = {field.name: str(getattr(config, field.name)) for field in fields(config)}
    same = {name: word.lower() if word in ("True", "False") else word for name, word in words.items() if word != "None"}
    assert recipe_config(recipe, same) == config


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        ("prob", {}, "Unknown recipe 'prob'. Did you mean 'probe'?"),
        ("probe", {"head_": "lda"}, "Unknown option of recipe 'probe' 'head_'. Did you mean 'head'?"),
        ("probe", {"views": "eight"}, "views: expected a whole number, found 'eight'"),
        ("probe", {"views": "1.5"}, "views: expected a whole number, found '1.5'"),
        ("probe", {"views": ""}, "views: expected a whole number, found ''"),
        ("probe", {"views": "3"}, "views: expected one of (1, 2, 4, 8), found 3"),
    ],
)
def test_options_that_cannot_be_are_told(recipe, options, message):
    with pytest.raises(UsageError) as caught:
        recipe_config(recipe, options)
    assert message in str(caught.value)


def test_the_configuration_survives_json():
    config = TrainConfig(
        "steel",
        options={"views": "1"},
        folds=4,
        seed=3,
        costs=Costs(escape=50),
        good_classes=("ok",),
        name="strip",
    )
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert TrainConfig.from_json(TrainConfig("steel").to_json()) == TrainConfig("steel")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"data": "x", "sede": 1}, "Unknown training option 'sede'. Did you mean 'seed'?"),
        ({"recipe": "probe"}, "Expected the config of a run.json"),
        ({"data": "x", "costs": {"escape": -1}}, "Expected the config of a run.json"),
        ({"data": "x", "good_classes": 3}, "Expected the config of a run.json"),
        ({"data": "x", "seed": "three"}, "Expected the config of a run.json"),
        ({"data": "x", "seed": -1}, "seed: expected 0 or more, found -1"),
        ({"data": "x", "folds": 1}, "folds: expected 3 or more, 2 where a recipe can do with them, found 1"),
    ],
)
def test_a_document_that_is_no_configuration(document, message):
    with pytest.raises(UsageError) as caught:
        TrainConfig.from_json(document)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["a/b", "../up", "/abs", "", ".", "..", ".hidden"])
def test_a_name_that_cannot_name_a_file(name):
    with pytest.raises(UsageError, match="name: expected one that can name a file"):
        TrainConfig("data", name=name)


@pytest.mark.parametrize("name", ["strip", "Band 3, südlich", "鋼板"])
def test_a_name_may_be_in_any_language(name):
    assert TrainConfig("data", name=name).name == name


def test_it_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        TrainConfig("data").seed = 1
