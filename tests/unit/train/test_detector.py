"""Training a detector on twelve dark images, each with one bright square or bar."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

torch = pytest.importorskip("torch")

from millscale.core.boxes import iou_matrix  # noqa: E402
from millscale.core.errors import DataError, ModelError, UsageError  # noqa: E402
from millscale.core.types import Boxes  # noqa: E402
from millscale.data.manifest import ImageRecord, Manifest  # noqa: E402
from millscale.imaging.decode import read_image  # noqa: E402
from millscale.imaging.preprocess import Preprocess  # noqa: E402
from millscale.learn.recipe import Task  # noqa: E402
from millscale.runtime.backends.onnxruntime import Network  # noqa: E402
from millscale.runtime.detect import decode  # noqa: E402
from millscale.train.config import DetectorConfig  # noqa: E402
from millscale.train.detection import Detector  # noqa: E402
from millscale.train.detector import _set_up, annotators_shift, images_a_step, passed, train_detector  # noqa: E402

CONFIG = DetectorConfig(size=64, epochs=2, batch=4, start="random", final="reuse")


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def manifest(shapes) -> Manifest:
    """Groups of two; of the last image nobody drew a box."""
    records = [replace(record, group=f"g{k // 2}") for k, record in enumerate(shapes.records)]
    records[-1] = replace(records[-1], boxes=Boxes(np.zeros((0, 4)), np.zeros(0)))
    return replace(shapes, records=tuple(records))


@pytest.fixture
def task(manifest, tmp_path) -> Task:
    return Task(manifest, np.arange(12) // 2 % 3, 7, tmp_path / "run", silent)


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory):
    return train_detector(Task(manifest, np.arange(12) // 2 % 3, 7, tmp_path_factory.mktemp("run"), silent), CONFIG)


def test_only_the_held_out_fold_is_judged_and_every_image_has_a_reference(trained):
    assert [boxes is not None for boxes in trained.boxes] == (np.arange(12) // 2 % 3 == 0).tolist()
    assert all(boxes is not None for boxes in trained.reference)


def test_the_network_judged_is_the_one_kept(trained):
    for judged, reference in zip(trained.boxes, trained.reference, strict=True):
        if judged is not None:
            assert_array_equal(judged.xyxy, reference.xyxy)


def test_the_graph_finds_the_reference(trained, manifest):
    network = Network(trained.graph, "graph", threads=1)
    for record, reference in zip(manifest.records, trained.reference, strict=True):
        tensor, geometry = trained.preprocess.apply(read_image(record.path))
        boxes, scores = network.run({"images": tensor[None]}, ["boxes", "scores"])
        found = decode(boxes[0], scores[0], trained.detection, geometry, (48, 48))
        assert len(found) == len(reference)
        assert_allclose(np.sort(found.score), np.sort(reference.score), atol=1e-4)


def test_equal_seeds_give_equal_bytes(trained, task):
    assert train_detector(task, CONFIG).graph == trained.graph


def test_an_interrupted_training_ends_with_the_same_bytes(trained, manifest, tmp_path):
    def interrupt(what: str, done: int, total: int) -> None:
        if what.startswith("train") and done > total / 2:
            raise KeyboardInterrupt

    folds = np.arange(12) // 2 % 3
    with pytest.raises(KeyboardInterrupt):
        train_detector(Task(manifest, folds, 7, tmp_path, interrupt), CONFIG)
    assert train_detector(Task(manifest, folds, 7, tmp_path, silent), CONFIG).graph == trained.graph


def test_a_checkpoint_of_another_training_is_refused(task):
    train_detector(task, replace(CONFIG, epochs=1))
    with pytest.raises(ModelError, match="this very training"):
        train_detector(task, replace(CONFIG, epochs=1, softness=0.1))


def test_it_learns_where_bright_squares_are(manifest, tmp_path):
    calm = {"mosaic": 0.0, "zoom": 0.0, "augment": 0.0}
    config = replace(CONFIG, epochs=40, batch=2, rate=3e-3, ema=0.9, **calm)
    found = train_detector(Task(manifest, np.arange(12) // 2 % 3, 0, tmp_path, silent), config)
    for row in (0, 6):  # squares that were held out
        best, truth = found.boxes[row], manifest.records[row].boxes
        assert best.score[0] > 0.2
        assert iou_matrix(best.xyxy[:1], truth.xyxy)[0, 0] > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 50}, "multiple of 32"),
        ({"size": 0, "tile": 63}, "tile"),
        ({"detector": "yolo_m"}, "yolo_n"),
        ({"device": "cuda"}, "cuda|GPU"),
    ],
)
def test_options_that_do_not_fit_are_refused(task, change, message):
    if change.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UsageError, match=message):
        train_detector(task, replace(CONFIG, **change))


def test_one_fold_is_too_few(manifest, tmp_path):
    with pytest.raises(DataError, match="at least 2 folds"):
        train_detector(Task(manifest, np.zeros(12, int), 0, tmp_path, silent), CONFIG)


def test_images_of_other_proportions_are_letterboxed(manifest, tmp_path):
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(tmp_path / "wide.png")
    wide = ImageRecord("wide.png", tmp_path / "wide.png", boxes=Boxes([[0, 0, 32, 32]], [0]), group="wide")
    mixed = replace(manifest, records=(*manifest.records, wide))
    task = Task(mixed, np.arange(13) % 3, 0, tmp_path / "run", silent)
    trained = train_detector(task, replace(CONFIG, epochs=1))
    assert trained.preprocess == Preprocess("letterbox", (64, 64), (0.0,) * 3, (1 / 255,) * 3)
    assert all((boxes.xyxy[:, 3] <= 32).all() for boxes in (trained.reference[-1],))


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Manifest:
    """Twelve dark pictures of 64 x 200, each with one bright square of 24 that two windows of 64 may share."""
    folder, rng, records = tmp_path_factory.mktemp("wide"), np.random.default_rng(0), []
    for k in range(12):
        pixels = rng.normal(60, 10, (64, 200))
        left, top = 5 + 14 * k, 4 + 3 * k
        pixels[top : top + 24, left : left + 24] += 150
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{k:02}.png")
        box = Boxes([[left, top, left + 24, top + 24]], [0])
        records.append(ImageRecord(f"{k:02}.png", folder / f"{k:02}.png", boxes=box, group=f"g{k}"))
    return Manifest(tuple(records), ("square",), str(folder))


def test_windows_are_learned_from_where_they_show_a_defect_or_nothing(wide, tmp_path):
    setup = _set_up(Task(wide, np.arange(12) % 3, 0, tmp_path, silent), replace(CONFIG, tile=64))
    assert (setup.preprocess.policy, setup.preprocess.size) == ("resize", (64, 64))
    assert_array_equal(setup.home, np.repeat(np.arange(12), 4))  # windows from 0, 45, 91 and 136 on
    assert_array_equal(setup.pictures(np.array([1, 3])), [4, 5, 6, 7, 12, 13, 14, 15])
    first = [(boxes.xyxy.tolist(), boxes.difficult.tolist()) for boxes in setup.source.boxes[12:16]]
    # The square of image 3 lies at 47 to 71: a good part of it in the first window, all of it in the second.
    assert first == [([[47, 13, 64, 37]], [False]), ([[2, 13, 26, 37]], [False]), ([], []), ([], [])]
    for pixels, boxes in zip(setup.source.pixels, setup.source.boxes, strict=True):
        bright = np.zeros((64, 64), bool)
        for left, top, right, bottom in boxes.xyxy.astype(int):
            bright[top:bottom, left:right] = True
        assert_array_equal(pixels[..., 0] > 130, bright)


def test_an_epoch_shows_every_defect_and_no_more_that_shows_nothing(wide, tmp_path):
    setup = _set_up(Task(wide, np.arange(12) % 3, 0, tmp_path, silent), replace(CONFIG, tile=64))
    rows = setup.pictures(np.arange(12))
    shows = np.array([len(boxes) > 0 for boxes in setup.source.boxes])
    first, second = (passed(setup, rows, np.random.default_rng(seed)) for seed in (0, 1))
    for epoch in (first, second):
        assert len(set(epoch)) == len(epoch)
        assert set(np.flatnonzero(shows)) <= set(epoch)
        assert (~shows[epoch]).sum() == min(shows.sum(), (~shows).sum())
    assert set(first) != set(second)


def test_in_windows_it_learns_where_squares_are_on_large_images(wide, tmp_path):
    calm = {"mosaic": 0.0, "zoom": 0.0, "augment": 0.0}
    config = replace(CONFIG, tile=64, epochs=30, batch=4, rate=3e-3, ema=0.9, **calm)
    trained = train_detector(Task(wide, np.arange(12) % 3, 0, tmp_path, silent), config)
    assert trained.tile == 64
    for row in (0, 3, 6, 9):
        best, truth = trained.boxes[row], wide.records[row].boxes
        assert best.score[0] > 0.2
        assert iou_matrix(best.xyxy[:1], truth.xyxy)[0, 0] > 0.5


@pytest.mark.parametrize(("change", "told"), [({}, True), ({"tile": 64}, False), ({"size": 224}, False)])
def test_boxes_that_are_too_small_for_the_size_are_told_of_before_the_work(wide, tmp_path, change, told):
    lines: list[str] = []
    task = Task(wide, np.arange(12) % 3, 0, tmp_path, lambda what, *_: lines.append(what))
    _set_up(task, replace(CONFIG, **change))
    hints = [line for line in lines if line.startswith("ahead")]
    wanted = "ahead: at size=64, 100% of the boxes are less than 8 pixels wide or high; --set tile=64 would show them"
    assert [line.startswith(wanted) for line in hints] == [True] * told


@pytest.mark.parametrize(
    ("asked", "count", "expected"), [(0, 1440, 32), (0, 105, 13), (0, 60, 8), (0, 5, 5), (16, 1440, 16), (32, 20, 20)]
)
def test_few_images_are_learned_from_in_small_batches(asked, count, expected):
    assert images_a_step(asked, count) == expected


@pytest.mark.parametrize(("side", "expected"), [(24, 256), (6.25, 256), (6.2, 288), (4, 416), (1, 640)])
def test_a_size_that_nobody_asked_for_shows_the_boxes_that_are_learned_from(wide, tmp_path, side, expected):
    """The images are 200 wide; the boxes of the fold held out are tiny, and so is one in eleven of the others."""
    lines: list[str] = []
    sides = np.where(np.arange(12) % 3 == 0, 1, side)
    boxes = [Boxes([[9, 9, 9 + s, 50]] * 10 + [[9, 9, 9.5, 50]], [0] * 11) for s in sides]
    records = [replace(record, boxes=box) for record, box in zip(wide.records, boxes, strict=True)]
    task = Task(replace(wide, records=tuple(records)), np.arange(12) % 3, 0, tmp_path, lambda w, *_: lines.append(w))
    setup = _set_up(task, replace(CONFIG, size=0))
    assert max(setup.preprocess.size) == expected
    told = (
        f"ahead: size {expected}, because at 256 many boxes are less than 8 pixels wide or high; --set size=256 takes "
    )
    assert [line.startswith(told) for line in lines if line.startswith("ahead")] == [True] * (expected != 256)
    assert _set_up(task, replace(CONFIG, size=0, tile=64)).preprocess.size == (256, 256)


def test_views_are_judged_and_kept_but_train_nothing_else(trained, manifest, tmp_path):
    task = Task(manifest, np.arange(12) // 2 % 3, 7, tmp_path, silent)
    seen = train_detector(task, replace(CONFIG, views=8))
    assert (seen.graph == trained.graph, seen.detection.views, trained.detection.views) == (True, 8, 1)
    assert any(
        len(a) != len(b) or (a.xyxy != b.xyxy).any() for a, b in zip(seen.reference, trained.reference, strict=True)
    )
    checkpoints = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.safetensors")}
    train_detector(task, replace(CONFIG, views=2))  # the very checkpoints serve
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.safetensors")} == checkpoints


class Brightest(Detector):
    """Finds the box around what is bright, exactly."""

    def raw(self, images):
        boxes, scores = torch.zeros(len(images), 1, 4), torch.zeros(len(images), 1, 2)
        for k, image in enumerate(images):
            rows, columns = torch.nonzero(image[0] > 128, as_tuple=True)
            boxes[k, 0] = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            scores[k, 0, 0] = 0.9
        return boxes, scores


@pytest.mark.parametrize(("images", "expected"), [(160, (1.0, 0.5)), (40, (0.0, 0.0))])
def test_annotations_beside_what_is_seen_are_noticed_where_there_are_enough(tmp_path, images, expected):
    """Every box is drawn a pixel to the left and half a pixel too high; a third is held out, those are far off."""
    records = []
    for k in range(images):
        pixels = np.zeros((64, 64), np.uint8)
        left, top = 5 + k % 20, 9 + k % 13
        pixels[top : top + 16, left : left + 20] = 255
        Image.fromarray(pixels).save(tmp_path / f"{k:03}.png")
        off = 9.0 if k % 3 == 0 else 1.0
        box = Boxes([[left - off, top - 0.5, left + 20 - off, top + 15.5]], [0])
        records.append(ImageRecord(f"{k:03}.png", tmp_path / f"{k:03}.png", boxes=box, group=f"g{k}"))
    manifest = Manifest(tuple(records), ("square", "bar"), str(tmp_path))
    setup = _set_up(Task(manifest, np.arange(images) % 3, 0, tmp_path / "run", silent), CONFIG)
    assert annotators_shift(setup, Brightest(), 0) == expected
