"""Boxes as they are drawn over an image, on the page and in the PNG files alike: colours, dashes, labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from millscale.core.boxes import intersection_matrix
from millscale.core.types import Boxes
from millscale.metrics.classification import Floats

CLASS_COLORS = (
    "#2f7fe0",
    "#e8730c",
    "#12a150",
    "#b44ae0",
    "#00a3b8",
    "#c79a00",
    "#e0458f",
    "#8a5a2b",
    "#5b6ef5",
    "#6b9b00",
)
"""Mid-tones: legible on grey steel as well as on a light and a dark page. More classes start anew."""
TRUE, MISSED, IGNORED = "#ffffff", "#ff3b30", "#9aa6b2"
_TEXT, _PAD = 0.052, 0.006
"""Height of a label's text and its margin, as a share of the image's longer side."""
_LABELLED = 12
"""Found boxes that are all labelled; the labels of more would hide the image."""

Kind = Literal["true", "missed", "ignored", "found", "alarm"]


@dataclass(frozen=True)
class DrawnBox:
    """One box over an image; everything in pixels of the original image.

    Attributes:
        kind: "true" and "missed" are dashed, "ignored" (``difficult``) is dotted, "found" and "alarm" are solid;
            "missed" and "alarm" are what a picture is about and drawn heavier.
        color: of its line.
        xyxy: left, top, right, bottom.
        label: the score of a found box, else empty; of many boxes only those that are pointed out bear one.
        label_box: where the label stands: left, top, right, bottom.
        tip: class and score in words.
    """

    kind: Kind
    color: str
    xyxy: tuple[float, float, float, float]
    label: str
    label_box: tuple[float, float, float, float]
    tip: str


def class_color(index: int) -> str:
    """The colour of class ``index``."""
    return CLASS_COLORS[index % len(CLASS_COLORS)]


def text_height(size: tuple[int, int]) -> float:
    """Height of a label's text in pixels of an image of ``size`` (height, width)."""
    return _TEXT * max(size)


def drawn_boxes(
    truth: Boxes,
    found: Boxes,
    size: tuple[int, int],
    names: Sequence[str],
    *,
    missed: Sequence[int] = (),
    alarms: Sequence[int] = (),
) -> list[DrawnBox]:
    """One image's boxes in drawing order: found ones, then the truth dashed above them.

    Args:
        truth: annotations.
        found: found boxes, as many as are to be drawn.
        size: (height, width) of the image.
        names: class names as they may be printed.
        missed: indices of ``truth`` to point out.
        alarms: indices of ``found`` to point out.
    """
    scores = [_score_text(float(score)) for score in np.asarray(found.score, np.float64)]
    labels = [text if len(scores) <= _LABELLED or i in alarms else "" for i, text in enumerate(scores)]
    places = place_labels(found.xyxy.astype(np.float64), labels, size)
    drawn = [
        DrawnBox(
            kind="alarm" if i in alarms else "found",
            color=class_color(int(index)),
            xyxy=_tuple(found.xyxy[i]),
            label=labels[i],
            label_box=_tuple(places[i]),
            tip=f"found: {names[int(index)]} {scores[i]}",
        )
        for i, index in enumerate(found.class_id)
    ]
    drawn.sort(key=lambda box: box.kind == "alarm")
    return drawn + [_true_box(truth, i, names, missed=i in missed) for i in range(len(truth))]


def _true_box(truth: Boxes, i: int, names: Sequence[str], *, missed: bool) -> DrawnBox:
    ignored = bool(np.asarray(truth.difficult, np.bool_)[i])
    kind: Kind = "ignored" if ignored else "missed" if missed else "true"
    color = {"ignored": IGNORED, "missed": MISSED}.get(kind, TRUE)
    words = {"ignored": "marked difficult", "missed": "missed"}.get(kind, "true")
    name = names[int(truth.class_id[i])]
    return DrawnBox(kind, color, _tuple(truth.xyxy[i]), "", (0.0, 0.0, 0.0, 0.0), f"{words}: {name}")


def _score_text(score: float) -> str:
    """Two decimals without the leading zero, to be short."""
    return f"{score:.2f}".removeprefix("0")


def _tuple(values: Floats) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(float(value), 2) for value in values)
    return left, top, right, bottom


def place_labels(xyxy: Floats, labels: Sequence[str], size: tuple[int, int]) -> Floats:
    """Where each label stands ``(N, 4)``: by a corner of its box, inside the image, clear of the others.

    Greedy in the order given; where no corner is clear, the one that hides least of the other labels.

    Args:
        xyxy: ``(N, 4)`` boxes.
        labels: N texts.
        size: (height, width) of the image.
    """
    placed = np.zeros((0, 4))
    for box, label in zip(xyxy, labels, strict=True):
        candidates = _corners(box, label, size)
        hidden = intersection_matrix(candidates, placed).sum(1)
        placed = np.vstack([placed, candidates[int(hidden.argmin())]])
    return placed


def _corners(box: Floats, label: str, size: tuple[int, int]) -> Floats:
    """The eight places of a label by its box's corners, outside first, moved into the image."""
    text, pad = text_height(size), _PAD * max(size)
    width, height = 0.62 * text * len(label) + 2 * pad, text + 2 * pad
    left, top, right, bottom = box
    spots = [
        (left, top - height),
        (right - width, top - height),
        (left, bottom),
        (right - width, bottom),
        (left, top),
        (right - width, top),
        (left, bottom - height),
        (right - width, bottom - height),
    ]
    corner = np.array(spots, np.float64)
    inside = np.clip(corner, 0, np.maximum([size[1] - width, size[0] - height], 0))
    # A place that had to be moved comes after those that did not: it no longer touches its corner.
    order = np.argsort(np.abs(inside - corner).sum(1) > 0.5, kind="stable")
    return np.hstack([inside, inside + np.array([width, height])])[order]
