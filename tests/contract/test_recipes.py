"""What every recipe promises, whoever adds it."""

import dataclasses
import inspect
import re
import subprocess
import sys

import pytest

from millscale.core import plugins
from millscale.learn.recipe import Task, Trained, TrainedAnomaly, TrainedDetector

PACKAGE = "millscale.pipeline.recipes"
NAMES = plugins.names(PACKAGE)


@pytest.fixture(params=NAMES)
def recipe(request):
    return plugins.load(PACKAGE, request.param)


def test_the_three_recipes_are_there():
    assert {"finetune", "probe", "scratch"} <= set(NAMES)


def test_it_says_in_one_line_what_it_is(recipe):
    assert 10 < len(recipe.DESCRIPTION) < 100
    assert "\n" not in recipe.DESCRIPTION


def test_its_options_are_one_frozen_value_that_has_defaults(recipe):
    config = recipe.Config()
    assert config == recipe.Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, dataclasses.fields(config)[0].name, None)


def test_every_option_is_a_plain_value_and_documented(recipe):
    pages = [inspect.cleandoc(kind.__doc__ or "") for kind in recipe.Config.__mro__]
    documented = {name for page in pages for name in re.findall(r"(?m)^ {4}(\w+): \S", page)}
    for option in dataclasses.fields(recipe.Config):
        assert type(getattr(recipe.Config(), option.name)) in (bool, int, float, str), option.name
        assert option.name in documented, option.name


def test_it_runs_a_task_with_its_options(recipe):
    assert list(inspect.signature(recipe.run).parameters) == ["task", "config"]
    hints = inspect.get_annotations(recipe.run, eval_str=True)
    assert hints["task"] is Task
    assert hints["config"] is recipe.Config
    assert hints["return"] is {"classify": Trained, "detect": TrainedDetector, "anomaly": TrainedAnomaly}[recipe.TASK]


def test_listing_and_configuring_recipes_loads_no_torch():
    loads = "\n".join(f"import {PACKAGE}.{name} as {name}; {name}.Config()" for name in NAMES)
    heavy = {"torch", "torchvision", "safetensors"}
    script = f"import sys\n{loads}\nprint(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
