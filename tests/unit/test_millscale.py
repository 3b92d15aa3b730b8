import importlib

import pytest

import millscale as ms


@pytest.mark.parametrize("name", sorted(set(ms.__all__) - {"__version__"}))
def test_every_public_name_is_there_and_documented(name):
    thing = getattr(ms, name)
    assert callable(thing)
    assert thing.__name__ == name
    assert thing.__doc__


def test_dir_lists_the_public_names():
    assert dir(ms) == sorted(ms.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'millscale' has no attribute 'trian'"):
        ms.trian  # noqa: B018


@pytest.mark.parametrize("module", ["millscale.train.config", "millscale.train", "millscale.data.read"])
def test_a_module_of_the_same_name_neither_hides_the_function_nor_is_hidden(module):
    found = importlib.import_module(module)
    assert found.__name__ == module
    assert ms.train.__module__ == "millscale.pipeline.api"
    from millscale.train import config

    assert config.FinetuneConfig
