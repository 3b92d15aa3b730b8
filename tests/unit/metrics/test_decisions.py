import pytest

from millscale.core.errors import DataError
from millscale.metrics.bootstrap import wilson_interval
from millscale.metrics.decisions import DecisionRates, decision_rates


@pytest.mark.parametrize(
    ("outcomes", "defective", "expected"),
    [
        (["pass", "reject", "review", "pass"], [1, 1, 0, 0], DecisionRates(0.5, 0.0, 0.25)),
        (["reject", "reject", "pass"], [0, 0, 1], DecisionRates(1.0, 1.0, 0.0)),
        (["reject", "review"], [1, 1], DecisionRates(0.0, None, 0.5)),
        (["pass"], [0], DecisionRates(None, 0.0, 0.0)),
        (["reject", "review"], None, DecisionRates(None, None, 0.5)),
    ],
)
def test_rates(outcomes, defective, expected):
    assert decision_rates(outcomes, defective) == expected


@pytest.mark.parametrize(("outcomes", "defective"), [([], []), (["pass"], [1, 0])])
def test_verdicts_and_truths_must_match(outcomes, defective):
    with pytest.raises(DataError, match="Expected"):
        decision_rates(outcomes, defective)


def test_rates_as_json():
    document = decision_rates(["pass", "review"], None).to_json()
    assert document == {"escape_rate": None, "overkill_rate": None, "review_rate": 0.5}


def test_intervals_are_over_groups_and_know_that_none_of_few_is_not_never():
    """Twenty defective images of five pieces, none of which passed; ten good pieces, half of them rejected."""
    outcomes = ["reject"] * 20 + ["reject", "pass"] * 5
    groups = [f"piece {i // 4}" for i in range(20)] + [None] * 10
    found = decision_rates(outcomes, [1] * 20 + [0] * 10, groups)
    assert (found.escape_rate, found.overkill_rate) == (0, 0.5)
    assert found.intervals["escape_rate"] == pytest.approx(wilson_interval(0, 5))
    low, high = found.intervals["overkill_rate"]
    assert 0.1 < low < 0.3
    assert 0.7 < high < 0.9
    assert decision_rates(outcomes, None, groups).intervals.keys() == {"review_rate"}
