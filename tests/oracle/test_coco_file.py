from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.core.types import Boxes
from millscale.data.convert import to_coco
from millscale.data.manifest import ImageRecord, Manifest

coco_api = pytest.importorskip("faster_coco_eval")


def test_a_written_file_means_the_same_to_a_coco_library(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PIL.Image.new("L", (40, 30), 90).save(path)
    corners = np.array([[0, 0, 40, 30], [1.5, 2, 3.25, 30]], np.float32)
    boxes = Boxes(corners, np.array([1, 0]), difficult=np.array([False, True]))
    to_coco(Manifest((ImageRecord("a", path, boxes=boxes),), ("dent", "scratch"), "steel"), tmp_path / "out")
    file = coco_api.COCO(str(tmp_path / "out/annotations/instances.json"))
    (image,) = file.loadImgs(file.getImgIds())
    assert (image["file_name"], image["width"], image["height"]) == ("a.png", 40, 30)
    entries = file.loadAnns(file.getAnnIds())
    assert [file.loadCats(entry["category_id"])[0]["name"] for entry in entries] == ["scratch", "dent"]
    assert [entry["bbox"] for entry in entries] == [[0, 0, 40, 30], [1.5, 2, 1.75, 28]]
    assert [entry["area"] for entry in entries] == [1200, 49]
    assert [entry["iscrowd"] for entry in entries] == [0, 1]
