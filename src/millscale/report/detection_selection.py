"""Which images a report on a detector shows, and what of them it points out."""

from dataclasses import dataclass

import numpy as np

from millscale.core.boxes import iou_matrix
from millscale.core.types import Boxes
from millscale.metrics.classification import Floats, Ints
from millscale.metrics.detection_coverage import covered_areas
from millscale.metrics.detection_rates import MATCH_IOU, at_thresholds, misses_and_alarms, shown_classes
from millscale.metrics.detections import DetectionTable
from millscale.report.thumbnails import Thumbnails, read_thumbnails

NEAR = 0.1
"""Below this IoU a false alarm has nothing to do with a true box."""


@dataclass(frozen=True)
class Shot:
    """An image that is shown.

    Attributes:
        row: of the table.
        index: the class it is shown for.
        caption: what is to be seen, in words.
        missed: indices of the true boxes to point out.
        alarms: indices of the found boxes at their thresholds to point out.
    """

    row: int
    index: int
    caption: str
    missed: tuple[int, ...] = ()
    alarms: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class ShownBoxes:
    """The images a report on a detector shows, each file read once.

    Attributes:
        operating: the table with only those boxes that reach their thresholds.
        sample: images drawn at random from each class, class by class.
        misses: the worst misses, each class in turn.
        alarms: the most confident false alarms, each class in turn.
        missed_images, alarm_images: how many images there are of either.
        thumbnails: the images.
    """

    operating: DetectionTable
    sample: tuple[Shot, ...]
    misses: tuple[Shot, ...]
    alarms: tuple[Shot, ...]
    missed_images: int
    alarm_images: int
    thumbnails: Thumbnails


def choose_shots(table: DetectionTable, thresholds: Floats, *, sample: int, most: int, seed: int = 0) -> ShownBoxes:
    """Choose and read: ``sample`` images a class, at most ``most`` misses and as many false alarms.

    Args:
        table: the boxes found.
        thresholds: ``(C,)``, or ``(N, C)`` of each image.
        sample: images drawn at random for each class.
        most: images in each of the other two galleries.
        seed: of the draw.
    """
    operating = at_thresholds(table, thresholds)
    rows = zip(operating.truth, operating.found, strict=True)
    judged = [misses_and_alarms(truth, found) for truth, found in rows]
    drawn = tuple(_sample(operating, judged, sample, seed))
    misses = _misses(operating, [missed for missed, _ in judged])
    alarms = _alarms(operating, [false for _, false in judged])
    worst, surest = _in_turn(misses, most), _in_turn(alarms, most)
    return ShownBoxes(
        operating=operating,
        sample=drawn,
        misses=worst,
        alarms=surest,
        missed_images=len({shot.row for _, shot in misses}),
        alarm_images=len({shot.row for _, shot in alarms}),
        thumbnails=read_thumbnails((table.paths[shot.row] for shot in (*drawn, *worst, *surest)), side=400),
    )


def _sample(table: DetectionTable, judged: list[tuple[Ints, Ints]], count: int, seed: int) -> list[Shot]:
    """Up to ``count`` images of each class at random, no image twice, with the tally of what was missed and false."""
    rng, taken = np.random.default_rng(seed), set[int]()
    shows, _ = shown_classes(table.truth, len(table.classes))
    shots = []
    for index in range(len(table.classes)):
        rows = [int(row) for row in rng.permutation(np.flatnonzero(shows[:, index])) if int(row) not in taken]
        taken.update(rows[:count])
        shots += [Shot(row, index, _tally(table, row, judged[row], index)) for row in rows[:count]]
    return shots


def _tally(table: DetectionTable, row: int, judged: tuple[Ints, Ints], index: int) -> str:
    """Of one class: "2 of 3 found, 1 false"."""
    missed, alarms = (
        int((boxes[row].class_id[picked] == index).sum())
        for boxes, picked in zip((table.truth, table.found), judged, strict=True)
    )
    drawn = _drawn(table.truth[row], index)
    return f"{drawn - missed} of {drawn} found" + (f", {alarms} false" if alarms else "")


def _drawn(truth: Boxes, index: int) -> int:
    """How many true boxes of the class are to be found."""
    return int(((truth.class_id == index) & ~np.asarray(truth.difficult, np.bool_)).sum())


def _misses(table: DetectionTable, missed: list[Ints]) -> list[tuple[float, Shot]]:
    """One entry for each image and class with a missed box, with the share of the image left uncovered."""
    areas, entries = covered_areas(table), []
    for row, boxes in enumerate(missed):
        truth, (height, width) = table.truth[row], table.sizes[row]
        for index in np.unique(truth.class_id[boxes]):
            mine = boxes[truth.class_id[boxes] == index]
            drawn, _, both = areas[row, index]
            caption = f"{len(mine)} of {_drawn(truth, int(index))} missed, {1 - both / drawn:.0%} of the area uncovered"
            shot = Shot(row, int(index), caption.replace("%", "\u00a0%"), missed=tuple(mine.tolist()))
            entries.append(((drawn - both) / (height * width), shot))
    return entries


def _alarms(table: DetectionTable, alarms: list[Ints]) -> list[tuple[float, Shot]]:
    """One entry for each image and class with a false alarm, with the highest score of them."""
    entries = []
    for row, boxes in enumerate(alarms):
        truth, found = table.truth[row], table.found[row]
        score = np.asarray(found.score, np.float64)
        for index in np.unique(found.class_id[boxes]):
            mine = boxes[found.class_id[boxes] == index]
            first = int(mine[score[mine].argmax()])
            caption = f"{score[first]:.2f}: {_reason(truth, found, first, table.classes)}"
            entries.append((float(score[first]), Shot(row, int(index), caption, alarms=(first,))))
    return entries


def _reason(truth: Boxes, found: Boxes, i: int, classes: tuple[str, ...]) -> str:
    """Why found box ``i`` is a false alarm (the kinds of Bolya et al., "TIDE", ECCV 2020, in words)."""
    overlap = iou_matrix(found.xyxy[i : i + 1], truth.xyxy)[0]
    own = truth.class_id == found.class_id[i]
    best_own, best_other = overlap[own].max(initial=0.0), overlap[~own].max(initial=0.0)
    if best_own >= MATCH_IOU:
        return "that defect was found already"
    if best_other >= MATCH_IOU:
        other = int(np.where(own, -1.0, overlap).argmax())
        return f"drawn as {classes[int(truth.class_id[other])]}"
    if best_own >= NEAR:
        return f"extent differs, IoU {best_own:.2f}"
    return "no such defect drawn there"


def _in_turn(entries: list[tuple[float, Shot]], most: int) -> tuple[Shot, ...]:
    """The first of each class by falling value, then the second of each, …; no image twice."""
    turns: dict[int, int] = {}
    ranked, taken = [], set[int]()
    for value, shot in sorted(entries, key=lambda entry: (-entry[0], entry[1].row, entry[1].index)):
        if shot.row not in taken:
            taken.add(shot.row)
            turns[shot.index] = turns.get(shot.index, 0) + 1
            ranked.append((turns[shot.index], -value, shot.row, shot))
    return tuple(shot for *_, shot in sorted(ranked, key=lambda entry: entry[:3])[:most])
