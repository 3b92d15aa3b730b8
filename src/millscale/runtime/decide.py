"""From a prediction to a factory decision: of probabilities by expected cost (Chow 1970), of boxes by threshold.

Each verdict costs something if it is wrong; with calibrated probabilities the cheapest verdict is known:

    pass    costs  escape · P(defect)
    reject  costs  overkill · P(good) + mislabel · P(another defect than the one named)
    review  costs  review, always

A detector's scores are no calibrated probabilities, so costs say nothing of them. Its operating point is one score
for each class, chosen when it was trained: a box from there on counts, and a piece with such a box is rejected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Boxes, Novelty, Outcome
from millscale.runtime.card import Costs

NO_DEFECT = "no defect"
"""The label where nothing was located and no class means that the piece is good."""
ANOMALY = "anomaly"
"""The label of what is unlike good pieces, where only those were learnt from."""
IMAGE_FAULT = "image fault"
"""The label of an image that is no proper photograph."""
UNKNOWN = "unknown"
"""The label of what the classifier has never seen the like of."""
LIMIT = 0.5
"""Where the threshold of an anomaly scorer stands among its scores in [0, 1)."""
_TOLD = 3
"""Boxes that a reason names."""


@dataclass(frozen=True)
class Verdict:
    """The decision, apart from the model's output.

    Attributes:
        outcome: pass, reject or review.
        label: the most probable class, or "unknown"; of boxes alone, that of the strongest that counts.
        confidence: its probability; of the unknown, r / (1 + r) of its distance r over the limit; of boxes alone, the
            box's score, and where none counts, what the strongest defect lacks to 1.
        reason: one sentence for the operator.
        costs: the operating point that was used; None where boxes alone decide, and of a fault of the imaging.
        thresholds: class name → the score from which its boxes count; None where probabilities decide, or of a fault.
    """

    outcome: Outcome
    label: str
    confidence: float
    reason: str
    costs: Costs | None = None
    thresholds: Mapping[str, float] | None = None


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


def decide_anomaly(score: float, regions: int, good: str, rate: float) -> Verdict:
    """Reject from one half up, where the threshold stands.

    Args:
        score: in [0, 1), 1/2 at the threshold.
        regions: places from the threshold up.
        good: label of what passes.
        rate: share of good images that the threshold is expected to reject.
    """
    ratio = score / (1.0 - score)
    where = f" in {regions} place{'s' if regions > 1 else ''}" if regions else ""
    told = f"{ratio:.2f} × the limit, which {rate:.2%} of good images are expected to reach"
    if score >= LIMIT:
        return Verdict("reject", ANOMALY, score, f"unlike good images{where}: {told}")
    return Verdict("pass", good, 1.0 - score, f"like good images: {told}")


def decide_fault(fault: str) -> Verdict:
    """A person looks: what the networks say of such an image says nothing of the piece."""
    return Verdict("review", IMAGE_FAULT, 1.0, f"{IMAGE_FAULT}: {fault}")


def decide_unknown(novelty: Novelty, classes: Sequence[str], costs: Costs) -> Verdict:
    """A review, whatever the probabilities: they are shares of the known classes, and this is none of them.

    Args:
        novelty: beyond its limit.
        classes: C names.
        costs: of the operating point, which does not matter here.
    """
    reason = (
        f"unknown: unlike anything in training (distance {novelty.ratio:.1f} × the limit); the nearest known class "
        f"is {classes[novelty.nearest]}"
    )
    return Verdict("review", UNKNOWN, novelty.ratio / (1.0 + novelty.ratio), reason, costs)


def counting(boxes: Boxes, classes: Sequence[str], thresholds: Mapping[str, float]) -> Boxes:
    """The boxes that count, in order; see `counts`."""
    rows = counts(boxes, classes, thresholds)
    return Boxes(boxes.xyxy[rows], boxes.class_id[rows], _scores(boxes)[rows])


def counts(boxes: Boxes, classes: Sequence[str], thresholds: Mapping[str, float]) -> NDArray[np.bool_]:
    """``(N,)``: whether the score of each box reaches its class's threshold.

    Args:
        boxes: ``class_id`` indexes ``classes``.
        classes: C names.
        thresholds: class name → score; without one, no box counts.
    """
    least = np.array([thresholds.get(name, np.inf) for name in classes])
    # As float32, as scores are: else .3 as a score would miss .3 as a threshold.
    return np.asarray(_scores(boxes) >= least.astype(np.float32)[boxes.class_id])


def decide_boxes(
    boxes: Boxes, classes: Sequence[str], good_classes: Sequence[str], thresholds: Mapping[str, float]
) -> Verdict:
    """Reject where a box of a defect reaches its class's threshold, else pass.

    Args:
        boxes: all that were found, however weak.
        classes: C names.
        good_classes: those of them that are no defect; their boxes reject nothing.
        thresholds: class name → score.
    """
    defects = _of_defects(boxes, classes, good_classes)
    found = counting(defects, classes, thresholds)
    if len(found):
        order = np.argsort(-_scores(found), kind="stable")
        named = [(classes[found.class_id[i]], float(_scores(found)[i])) for i in order]
        return Verdict("reject", *named[0], _told(named), thresholds=thresholds)
    label = good_classes[0] if good_classes else NO_DEFECT
    if not len(defects):
        return Verdict("pass", label, 1.0, "no box", thresholds=thresholds)
    best = int(_scores(defects).argmax())
    name, score = classes[defects.class_id[best]], float(_scores(defects)[best])
    reason = f"no box counts: the strongest is {name} at {score:.1%}, below {thresholds[name]:.1%}"
    return Verdict("pass", label, 1.0 - score, reason, thresholds=thresholds)


def defect_score(boxes: Boxes, classes: Sequence[str], good_classes: Sequence[str]) -> float:
    """The highest score of a box of a defect, 0 without one."""
    return float(_scores(_of_defects(boxes, classes, good_classes)).max(initial=0.0))


def _of_defects(boxes: Boxes, classes: Sequence[str], good_classes: Sequence[str]) -> Boxes:
    rows = ~np.isin(np.array(classes), np.array(good_classes))[boxes.class_id]
    return Boxes(boxes.xyxy[rows], boxes.class_id[rows], _scores(boxes)[rows])


def _scores(boxes: Boxes) -> NDArray[np.float32]:
    return np.ones(len(boxes), np.float32) if boxes.score is None else boxes.score


def _told(named: Sequence[tuple[str, float]]) -> str:
    """How many boxes, and the strongest of them."""
    first = ", ".join(f"{name} at {score:.0%}" for name, score in named[:_TOLD])
    more = f" and {len(named) - _TOLD} more" if len(named) > _TOLD else ""
    return f"{len(named)} box{'es' if len(named) > 1 else ''}: {first}{more}"
