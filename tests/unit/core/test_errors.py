import pytest

from millscale.core.errors import DataError, MillscaleError, ModelError, UsageError, unknown_name

NAMES = ["resnet18", "mobilenet_v2", "resnet50v2"]


@pytest.mark.parametrize(("kind", "code"), [(UsageError, 2), (DataError, 3), (ModelError, 4)])
def test_each_kind_has_its_exit_code(kind, code):
    assert kind.exit_code == code
    assert issubclass(kind, MillscaleError)


@pytest.mark.parametrize(
    ("name", "available", "message"),
    [
        (
            "resnt18",
            NAMES,
            "Unknown backbone 'resnt18'. Did you mean 'resnet18'? Available: mobilenet_v2, resnet18, resnet50v2.",
        ),
        ("zzz", NAMES, "Unknown backbone 'zzz'. Available: mobilenet_v2, resnet18, resnet50v2."),
        ("x", [], "Unknown backbone 'x'. Available: none."),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name, available, message):
    error = unknown_name("backbone", name, available)
    assert isinstance(error, UsageError)
    assert str(error) == message
