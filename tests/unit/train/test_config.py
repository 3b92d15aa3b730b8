import pytest

from millscale.core.errors import UsageError
from millscale.train.config import (
    ClassifierConfig,
    DetectorConfig,
    FinetuneConfig,
    FixmatchConfig,
    ScratchConfig,
    SemiDetectorConfig,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 31),
        ("epochs", 0),
        ("batch", 0),
        ("patience", -1),
        ("held_out_folds", -1),
        ("rate", 0.0),
        ("clip", 0.0),
        ("weight_decay", -0.1),
        ("augment", -1.0),
        ("mixup", -1.0),
        ("warm_up", 1.0),
        ("ema", 1.0),
        ("label_smoothing", 1.0),
        ("validation", 0.0),
        ("validation", 1.0),
        ("final", "keep"),
        ("precision", "float16"),
        ("device", "tpu"),
        ("rate", float("nan")),
    ],
)
@pytest.mark.parametrize("config", [ClassifierConfig, FinetuneConfig, ScratchConfig])
def test_an_option_out_of_range_is_refused_by_its_name(config, name, value):
    with pytest.raises(UsageError, match=f"^{name}: expected .*, found .* Set it with --set {name}=…"):
        config(**{name: value})


def test_frozen_stages_cannot_be_negative():
    with pytest.raises(UsageError, match=r"^frozen: expected 0 or more, found -1\."):
        FinetuneConfig(frozen=-1)


@pytest.mark.parametrize(
    ("config", "name", "value"),
    [
        (FixmatchConfig, "validation", 1.0),
        (FixmatchConfig, "unlabelled", 0),
        (FixmatchConfig, "strong", -1.0),
        (SemiDetectorConfig, "views", 9),
        (SemiDetectorConfig, "student_epochs", 0),
        (SemiDetectorConfig, "rounds", -1),
        (SemiDetectorConfig, "share", 0.0),
        (SemiDetectorConfig, "firm", 1.1),
        (SemiDetectorConfig, "annotated", 1.0),
    ],
)
def test_an_option_of_the_recipes_for_few_labels_out_of_range_is_refused(config, name, value):
    with pytest.raises(UsageError, match=f"^{name}: expected .*, found .* Set it with --set {name}=…"):
        config(**{name: value})


@pytest.mark.parametrize(("size", "tile"), [(4128, 0), (8192, 2048)])
def test_a_size_that_no_bundle_may_have_is_refused_before_the_work(size, tile):
    with pytest.raises(UsageError, match=rf"^size: expected at most 4096, found {size}\."):
        DetectorConfig(size=size, tile=tile)
