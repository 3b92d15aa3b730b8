"""From probabilities to a factory decision by expected cost (Chow 1970).

Each verdict costs something if it is wrong; with calibrated probabilities the cheapest verdict is known:

    pass    costs  escape · P(defect)
    reject  costs  overkill · P(good) + mislabel · P(another defect than the one named)
    review  costs  review, always
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Outcome
from millscale.runtime.card import Costs


@dataclass(frozen=True)
class Verdict:
    """The decision, apart from the model's output.

    Attributes:
        outcome: pass, reject or review.
        label: the most probable class.
        confidence: its probability.
        reason: one sentence for the operator.
        costs: the operating point that was used.
    """

    outcome: Outcome
    label: str
    confidence: float
    reason: str
    costs: Costs


def decide_class(
    probs: NDArray[np.floating], classes: Sequence[str], good_classes: Sequence[str], costs: Costs
) -> Verdict:
    """The cheapest verdict on one image.

    Args:
        probs: ``(C,)`` calibrated probabilities.
        classes: C names.
        good_classes: those of them that are no defect.
        costs: of each mistake.
    """
    good = np.isin(np.array(classes), np.array(good_classes))
    best = int(probs.argmax())
    label, confidence = classes[best], float(probs[best])
    p_good = float(probs[good].sum())
    p_named = float(probs[~good].max()) if (~good).any() else 0.0
    expected: dict[Outcome, float] = {
        "pass": costs.escape * (1.0 - p_good),
        "reject": costs.overkill * p_good + costs.mislabel * max(1.0 - p_good - p_named, 0.0),
        "review": costs.review,
    }
    outcome = min(expected, key=lambda name: expected[name])
    if outcome == "review":
        reason = f"{label} at {confidence:.0%} is not sure enough: a review costs less than the likely mistake"
    elif outcome == "reject":
        named = classes[int(np.where(good, -1.0, probs).argmax())]
        reason = f"{named} at {p_named:.1%}"
    else:
        reason = f"no defect at {p_good:.1%}"
    return Verdict(outcome, label, confidence, reason, costs)
