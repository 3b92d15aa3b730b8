import pytest

from millscale.core.errors import DataError
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
