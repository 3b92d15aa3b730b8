"""COCO's evaluation of a table by faster-coco-eval, the library that published figures can be compared with."""

from typing import TYPE_CHECKING, Any

import numpy as np

from millscale.core.errors import UsageError
from millscale.core.types import Boxes
from millscale.metrics.classification import Floats
from millscale.metrics.detection_match import IOU_THRESHOLDS, MOST_FOUND

if TYPE_CHECKING:
    from millscale.metrics.detections import DetectionTable


def coco_curves(table: "DetectionTable") -> tuple[Floats, Floats]:
    """Interpolated precision and the score it is reached at, each ``(10, 101, C)`` float64.

    IoU thresholds .50 to .95, recalls 0 to 1, classes; precision is 0 beyond the recall reached, and NaN
    throughout for a class without truth.

    Raises:
        UsageError: faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise UsageError(
            "Expected faster-coco-eval to compute mean average precision, found it missing; "
            'install it: pip install "millscale[learn]"'
        ) from error
    truth = COCO(_document(table, table.truth), print_function=_silent)
    found = COCO(_document(table, table.found), print_function=_silent)
    run = COCOeval_faster(truth, found, iouType="bbox", print_function=_silent, separate_eval=False)
    run.params.areaRng, run.params.areaRngLbl = [[0.0, 1e10]], ["all"]
    run.params.maxDets, run.params.iouThrs = [MOST_FOUND], IOU_THRESHOLDS
    run.evaluate()
    run.accumulate()
    precision, scores = (np.asarray(run.eval[key], np.float64)[..., 0, 0] for key in ("precision", "scores"))
    return np.where(precision < 0, np.nan, precision), np.where(precision > 0, scores, np.nan)


def _document(table: "DetectionTable", rows: tuple[Boxes, ...]) -> dict[str, Any]:
    """The table's images and these boxes as a COCO document; ids count from 1, as the library wants them."""
    images = [{"id": i, "height": size[0], "width": size[1]} for i, size in enumerate(table.sizes, start=1)]
    annotations: list[dict[str, Any]] = []
    for image, boxes in enumerate(rows, start=1):
        annotations += _annotations(boxes, image, len(annotations) + 1)
    categories = [{"id": i, "name": name} for i, name in enumerate(table.classes)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _annotations(boxes: Boxes, image: int, first: int) -> list[dict[str, Any]]:
    xyxy = boxes.xyxy.astype(np.float64)
    sides = xyxy[:, 2:] - xyxy[:, :2]
    corner = np.hstack([xyxy[:, :2], sides]).tolist()
    columns = (
        corner,
        sides.prod(1).tolist(),
        boxes.class_id.tolist(),
        np.asarray(boxes.score, np.float64).tolist(),
        np.asarray(boxes.difficult, np.int64).tolist(),
    )
    return [
        {"id": i, "image_id": image, "bbox": box, "area": size, "category_id": c, "score": score, "iscrowd": crowd}
        for i, (box, size, c, score, crowd) in enumerate(zip(*columns, strict=True), start=first)
    ]


def _silent(*_: object) -> None:
    """The library tells every step to the function it is given."""
