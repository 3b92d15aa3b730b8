"""``evaluate`` of bundles that locate, on drawn boxes of known cells."""

import json

import numpy as np
import pytest

from millscale.cli.evaluate import summary_lines
from millscale.core.types import Boxes
from millscale.data.convert import to_pascal_voc
from millscale.data.manifest import ImageRecord, Manifest

CLASSES = ("red", "green")
KEYS = {"images", "map50", "map50_95", "ap50", "thresholds", "confusion", "intervals", "escape_rate", "trained_on"}


@pytest.fixture
def annotated(grid, tmp_path):
    """A maker of Pascal VOC folders: of each image its drawn cells ``{(column, row): class}`` and its colours."""

    def make(rows, classes=CLASSES, name="set", difficult=0):
        folder = tmp_path / f"{name} images"
        folder.mkdir()
        records = []
        for number, (drawn, shown) in enumerate(rows):
            path = folder / f"{number}.png"
            path.write_bytes(grid.picture(shown))
            corners = [[10 * x, 10 * y, 10 * x + 10, 10 * y + 10] for x, y in drawn]
            boxes = Boxes(corners, list(drawn.values()), difficult=np.full(len(drawn), difficult))
            records.append(ImageRecord(path.name, path, boxes=boxes))
        to_pascal_voc(Manifest(tuple(records), classes, str(folder)), tmp_path / name)
        return tmp_path / name

    return make


def red(value, *cells):
    return dict.fromkeys(cells, (value, 0, 0))


@pytest.fixture
def images(annotated):
    """Four images: both reds and a green found, one red too weak to count, one image with nothing."""
    return annotated(
        [
            ({(0, 0): 0, (3, 1): 1}, red(204, (0, 0)) | {(3, 1): (0, 255, 0)}),
            ({(1, 2): 0}, red(153, (1, 2))),
            ({(2, 3): 0}, red(51, (2, 3))),
            ({}, {}),
        ]
    )


def evaluated(millscale, bundle, images, out, *words):
    done = millscale("evaluate", bundle, images, "--out", out, "--json", *words)
    assert done.code == 0, done.err
    return json.loads(done.out), done.err


def test_what_can_do_both_is_judged_by_the_labels_to_the_numbers_worked_out_by_hand(
    millscale, bundles, images, tmp_path
):
    found, _ = evaluated(millscale, bundles.both, images, tmp_path / "out")
    assert set(found) >= KEYS
    assert (found["images"], found["trained_on"]) == (4, 0)
    assert found["ap50"] == {"red": pytest.approx(1), "green": pytest.approx(1), "blue": None}  # ranked, however weak
    assert found["thresholds"] == {"red": 0.5, "green": 0.5, "blue": 0.9}
    assert found["thresholds_unchosen"] == ["red", "green"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "No image could choose the threshold of <bdi>red</bdi>, <bdi>green</bdi>" in page
    assert found["per_class"]["red"]["box_recall"] == pytest.approx(2 / 3)
    assert found["per_class"]["green"]["box_recall"] == 1
    assert (found["escape_rate"], found["overkill_rate"]) == (pytest.approx(1 / 3), 0)
    assert found["confusion"] == [[2, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert {"report.html", "evaluation.json", "predictions.json.gz"} <= {p.name for p in (tmp_path / "out").iterdir()}
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8")) == found


def test_people_are_told_the_precision_with_its_interval(millscale, bundles, images, tmp_path):
    done = millscale("evaluate", bundles.detector, images, "--out", tmp_path / "out", "--task", "detect")
    assert (done.code, done.out) == (0, "")
    assert "mAP50               100.0% (95 % interval " in done.err
    assert "mAP50-95            100.0% (95 % interval " in done.err
    assert "Escapes              33.3% (95 % interval " in done.err
    assert "Overkill              0.0% (95 % interval " in done.err
    assert "Careful: a box of red, green counts from a score of 0.5" in done.err
    assert "AP50 green                  100.0%" in done.err
    assert "AP50 blue                   –" in done.err
    assert f"Report  {tmp_path / 'out' / 'report.html'}" in done.err


def test_views_find_what_one_view_does_not(millscale, bundles, annotated, tmp_path):
    """The one-eyed model sees the first cell; upside down, the one at the bottom left."""
    corners = ((0, 0), (0, 3))
    images = annotated([(dict.fromkeys(corners, 0), red(255, *corners)) for _ in range(2)])
    found, _ = evaluated(millscale, bundles.one_eyed, images, tmp_path / "out", "--views", "2")
    assert found["map50"] == pytest.approx(1)
    assert found["per_class"]["red"]["box_recall"] == 1


def test_without_a_box_to_find_the_precision_is_undefined(located):
    metrics = located([[(0, 1, 1, 9, 9, True)]], [[(1, 1, 1, 9, 9, 0.4)]]).evaluate(
        thresholds={"scratch": 0.5, "pit": 0.5}, resamples=10
    )
    assert summary_lines(metrics)[:-1] == [
        "mAP50               undefined here",
        "mAP50-95            undefined here",
        "Escapes             undefined here",
        "Overkill            undefined here",
        "  AP50 scratch                –",
        "  AP50 pit                    –",
    ]


def test_bad_annotations_stop_it_unless_their_images_are_skipped_and_damaged_images_are_left_out(
    millscale, bundles, images, tmp_path
):
    (broken,), (damaged,) = images.rglob("1.xml"), images.rglob("3.png")
    broken.write_text(broken.read_text(encoding="utf-8")[:60], encoding="utf-8")
    damaged.write_bytes(damaged.read_bytes()[:-20])
    stopped = millscale("evaluate", bundles.detector, images, "--out", tmp_path / "out", "--json")
    assert (stopped.code, stopped.out) == (3, "")
    assert "1.xml" in stopped.err
    assert "go on without their images with --skip-bad" in stopped.err
    found, told = evaluated(millscale, bundles.detector, images, tmp_path / "out", "--skip-bad")
    assert (found["images"], found["per_class"]["red"]["truths"], found["overkill_rate"]) == (2, 2, None)
    assert "1 of 4 images left out" in told
    assert {"skipped", "unreadable_annotation"} <= {problem["code"] for problem in found["problems"]}
    assert "3.png" in told


def test_images_that_show_nothing_are_enough_to_count_false_alarms(millscale, bundles, annotated, tmp_path):
    images = annotated([({}, red(204, (0, 0))), ({}, {}), ({}, {}), ({}, {})], name="clean")
    found, told = evaluated(millscale, bundles.detector, images, tmp_path / "out", "--views", "2")
    assert (found["images"], found["map50"], found["escape_rate"], found["overkill_rate"]) == (4, None, None, 0.25)
    assert found["looks"] == [{"views": 2, "tile": None}]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "whole images, in 2 views" in page
    assert "add images" not in told.lower()


def test_images_with_boxes_of_other_classes_can_be_skipped(millscale, bundles, annotated, tmp_path):
    drawn = [({(0, 0): 0}, red(204, (0, 0))), ({(0, 0): 0, (1, 1): 1}, red(204, (0, 0)))]
    images = annotated(drawn, classes=("red", "rust"))
    found, told = evaluated(millscale, bundles.detector, images, tmp_path / "out", "--skip-bad")
    assert (found["images"], found["per_class"]["red"]["truths"], found["map50"]) == (1, 1, pytest.approx(1))
    assert "boxes of other classes (rust); 1 of 2 images left out: JPEGImages/1.png" in told


@pytest.mark.parametrize(
    ("bundle", "words", "code", "message"),
    [
        ("detector", ["IMAGES", "--views", "3"], 2, "--views: expected one of 1, 2, 4, 8, found 3"),
        ("detector", ["IMAGES", "--task", "detct"], 2, "Unknown task 'detct'. Did you mean 'detect'?"),
        ("detector", ["IMAGES", "--task", "classify"], 2, "a part that can classify, found only what can detect"),
        ("classifier", ["IMAGES", "--views", "2"], 2, "views: expected a detector to be judged, found the task 'class"),
        ("classifier", ["IMAGES", "--task", "detect"], 2, "a part that can detect, found only what can classify"),
        ("detector", ["IMAGES", "--backend", "tensor"], 2, "Unknown backend 'tensor'. Available: onnxruntime"),
        ("detector", ["RENAMED"], 3, "expected boxes of the bundle's classes (red, green, blue), found rust"),
        ("detector", ["BARE"], 3, "expected a data set with boxes, found none in 4 images"),
        ("detector", ["/nowhere"], 3, "/nowhere: expected a folder of images, found nothing there"),
        ("broken", ["IMAGES"], 4, "expected a .millscale file written by `millscale train`, found something else"),
    ],
)  # fmt: skip
def test_a_wrong_call_has_its_message_and_code_and_reports_nothing(
    millscale, bundles, images, annotated, tmp_path, bundle, words, code, message
):
    (tmp_path / "broken.millscale").write_bytes(bundles.detector.read_bytes()[:-50])
    places = {"IMAGES": images}
    if "RENAMED" in words:
        places["RENAMED"] = annotated([({(0, 0): 0, (1, 1): 1}, {})], classes=("red", "rust"), name="renamed")
    if "BARE" in words:
        places["BARE"] = tmp_path / "set images"
    source = getattr(bundles, bundle, tmp_path / "broken.millscale")
    done = millscale("evaluate", source, *(places.get(w, w) for w in words), "--out", tmp_path / "out", "--json")
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(millscale, bundles, images, tmp_path):
    (tmp_path / "taken").write_text("")
    done = millscale("evaluate", bundles.detector, images, "--out", tmp_path / "taken", "--json")
    assert (done.code, done.out) == (3, "")
    assert f"{tmp_path / 'taken'}: expected a file or folder that can be read and written" in done.err
