"""Found boxes as a small file that can be scored again, with this project or without it.

The file is a gzipped JSON object in COCO's own terms:

    info          {"description", "version"}
    images        [{"id", "file_name", "width", "height", "fold"?}]       file_name: the image's id in its data set
    categories    [{"id", "name"}]
    annotations   [{"image_id", "category_id", "bbox": [left, top, width, height], "score"}]

``annotations`` is the list that COCO tools call results and ``loadRes`` takes. Corners are rounded to a tenth of a
pixel and scores to four decimals; the same table gives the same bytes. The truth is not in the file: it is read
from the data set, whose annotations may not be ours to give.
"""

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from millscale.core.errors import DataError
from millscale.core.files import write_whole
from millscale.core.types import Boxes
from millscale.data.manifest import ImageRecord, Manifest
from millscale.metrics.detections import DetectionTable

_VERSION = "1"
_MOST_BYTES = 1 << 30
"""A gzip of a few megabytes can hold a thousand times that; no results of ours come near this."""


def write_coco_results(path: Path, table: DetectionTable) -> None:
    """Write the found boxes of ``table`` to ``path``, such as ``yolo_n--kaggle.json.gz``."""
    text = json.dumps(_document(table), ensure_ascii=False, separators=(",", ":"))
    # No time and no name in the header: the same boxes are the same file.
    write_whole(path, gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0))


def _document(table: DetectionTable) -> dict[str, Any]:
    images = [
        {"id": i, "file_name": name, "width": width, "height": height}
        for i, (name, (height, width)) in enumerate(zip(table.ids, table.sizes, strict=True), start=1)
    ]
    if table.fold is not None:
        images = [{**image, "fold": int(fold)} for image, fold in zip(images, table.fold, strict=True)]
    return {
        "info": {"description": "boxes found, in COCO's result format", "version": _VERSION},
        "images": images,
        "categories": [{"id": i, "name": name} for i, name in enumerate(table.classes, start=1)],
        "annotations": [one for i, boxes in enumerate(table.found, start=1) for one in _results(i, boxes)],
    }


def _results(image: int, boxes: Boxes) -> list[dict[str, Any]]:
    tenths = np.rint(boxes.xyxy.astype(np.float64) * 10).astype(np.int64)
    score = np.asarray(boxes.score, np.float64).round(4).tolist()
    return [
        {
            "image_id": image,
            "category_id": int(index) + 1,
            "bbox": [left / 10, top / 10, (right - left) / 10, (bottom - top) / 10],
            "score": value,
        }
        for (left, top, right, bottom), index, value in zip(tenths.tolist(), boxes.class_id, score, strict=True)
    ]


def read_coco_results(path: Path, manifest: Manifest) -> DetectionTable:
    """The table of a file that :func:`write_coco_results` wrote, with the truth and groups of ``manifest``.

    An image is looked up by its id, and where the data set is laid out otherwise, by its file's name alone. The
    table holds the images of the file in its order; classes are the file's.

    Raises:
        DataError: not such a file; an image that ``manifest`` lacks, has twice or has without boxes; a class of
            the truth that the file does not know.
    """
    document = _load(path)
    try:
        classes = tuple(str(category["name"]) for category in document["categories"])
        rows = {int(image["id"]): row for row, image in enumerate(document["images"])}
        if len(rows) < len(document["images"]):
            raise _no_results(path, "an image id that stands twice")
        found = _found(document, rows)
        sizes = tuple((int(image["height"]), int(image["width"])) for image in document["images"])
        folds = [image.get("fold") for image in document["images"]]
        fold = None if None in folds else np.array(folds, dtype=np.int64)
        names = [str(image["file_name"]) for image in document["images"]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _no_results(path, f"{type(error).__name__} {error}") from error
    records = _records(path, names, manifest)
    return DetectionTable(
        ids=tuple(record.id for record in records),
        paths=tuple(record.path for record in records),
        sizes=sizes,
        classes=classes,
        truth=tuple(_renamed(record, manifest.classes, classes) for record in records),
        found=found,
        groups=tuple(record.group for record in records),
        fold=fold,
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        with gzip.open(path) as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise _no_results(path, "more than a gigabyte")
        document = json.loads(data)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise _no_results(path, str(error)) from error
    if not isinstance(document, dict):
        raise _no_results(path, f"a {type(document).__name__}")
    return document


def _no_results(path: Path, found: str) -> DataError:
    return DataError(
        f"{path}: expected gzipped COCO results with images, categories and annotations, found {found}; "
        "pass a file that write_coco_results wrote."
    )


def _found(document: Mapping[str, Any], rows: Mapping[int, int]) -> tuple[Boxes, ...]:
    index = {int(category["id"]): i for i, category in enumerate(document["categories"])}
    parts: list[list[tuple[list[float], int, float]]] = [[] for _ in rows]
    for one in document["annotations"]:
        left, top, width, height = (float(value) for value in one["bbox"])
        # Sums of tenths are rounded back to tenths: .1 + .2 is .3 again.
        edges = [left, top, round(left + width, 1), round(top + height, 1)]
        parts[rows[int(one["image_id"])]].append((edges, index[int(one["category_id"])], float(one["score"])))
    return tuple(_boxes(part) for part in parts)


def _boxes(part: Sequence[tuple[list[float], int, float]]) -> Boxes:
    return Boxes(
        np.array([edges for edges, _, _ in part], np.float32).reshape(-1, 4),
        np.array([index for _, index, _ in part], np.int64),
        np.array([score for _, _, score in part], np.float32),
    )


def _records(path: Path, names: Sequence[str], manifest: Manifest) -> list[ImageRecord]:
    by_id = {record.id: [record] for record in manifest.records}
    by_name: dict[str, list[ImageRecord]] = {}
    for record in manifest.records:
        by_name.setdefault(PurePosixPath(record.id).name, []).append(record)
    matched = [by_id.get(name) or by_name.get(PurePosixPath(name).name, []) for name in names]
    wrong = [name for name, records in zip(names, matched, strict=True) if len(records) != 1]
    if wrong:
        raise DataError(
            f"{path}: expected each of its {len(names)} images once in {manifest.source}, found "
            f"{len(wrong)} missing or there twice, such as {wrong[0]}; pass the data set they were found in."
        )
    return [records[0] for records in matched]


def _renamed(record: ImageRecord, own: Sequence[str], classes: Sequence[str]) -> Boxes:
    """The record's boxes with class indices into ``classes``."""
    if record.boxes is None:
        raise DataError(
            f"{record.path}: expected annotated boxes to score against, found none; add its annotation file."
        )
    unknown = sorted({own[i] for i in record.boxes.class_id} - set(classes))
    if unknown:
        raise DataError(
            f"{record.path}: expected boxes of {', '.join(classes)}, found {', '.join(unknown)}; "
            "pass the data set that the detector was made for."
        )
    class_id = np.array([classes.index(own[i]) for i in record.boxes.class_id], np.int64)
    return Boxes(record.boxes.xyxy, class_id, record.boxes.score, record.boxes.difficult)
