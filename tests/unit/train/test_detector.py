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
from millscale.train.detector import (  # noqa: E402
    _batches,
    _set_up,
    annotators_shift,
    images_a_step,
    passed,
    train_detector,
)
from millscale.train.export import Normalise  # noqa: E402

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


def test_it_learns_where_squares_and_bars_are_and_which_is_which(manifest, tmp_path):
    calm = {"mosaic": 0.0, "zoom": 0.0, "augment": 0.0}
    config = replace(CONFIG, epochs=80, batch=2, rate=3e-3, ema=0.9, **calm)
    found = train_detector(Task(manifest, np.arange(12) // 2 % 3, 0, tmp_path, silent), config)
    for row in (0, 1, 6, 7):  # squares and bars that were held out
        best, truth = found.boxes[row], manifest.records[row].boxes
        assert best.score[0] > 0.3
        assert best.class_id[0] == truth.class_id[0]
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
    """Finds the box around what is bright, exactly, and calls it a square."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def raw(self, images):
        bright = (images[:, 0] > 128).float()
        lines = bright.amax(1), bright.amax(2)  # of columns, of rows
        (left, right), (top, bottom) = ((x.argmax(1), x.shape[1] - x.flip(1).argmax(1)) for x in lines)
        boxes = torch.stack([left, top, right, bottom], 1).float()[:, None]
        square = bright.amax((1, 2))[:, None, None] * 0.9
        return boxes, torch.cat([square, 0 * square], 2)


def drawn_beside(folder, images: int) -> Manifest:
    """Squares, their boxes a pixel to the left and half a pixel too high, beside those of bars, far off.

    Of five images two are learned from; the boxes of the others are far off.
    """
    records = []
    for k in range(images):
        pixels = np.zeros((64, 64), np.uint8)
        left, top = 12 + k % 20, 9 + k % 13
        pixels[top : top + 16, left : left + 20] = 255
        Image.fromarray(pixels).save(folder / f"{k:03}.png")
        offs = (4.0 if k % 5 < 3 else 1.0, 5.0, 5.0)
        boxes = Boxes([[left - off, top - 0.5, left + 20 - off, top + 15.5] for off in offs], [0, 1, 1])
        records.append(ImageRecord(f"{k:03}.png", folder / f"{k:03}.png", boxes=boxes, group=f"g{k}"))
    return Manifest(tuple(records), ("square", "bar"), str(folder))


@pytest.mark.parametrize(("images", "expected"), [(260, (1.0, 0.5)), (240, (0.0, 0.0))])
def test_annotations_beside_what_is_seen_are_noticed_where_there_are_enough(tmp_path, images, expected):
    folds = (np.arange(images) % 5 >= 3).astype(int)
    setup = _set_up(Task(drawn_beside(tmp_path, images), folds, 0, tmp_path / "run", silent), CONFIG)
    assert annotators_shift(setup, Brightest(), 0) == expected


def test_the_shift_is_taken_off_what_is_judged_and_kept(tmp_path):
    manifest, folds = drawn_beside(tmp_path, 260), (np.arange(260) % 5 >= 3).astype(int)
    task = Task(manifest, folds, 0, tmp_path / "run", silent)
    trained = train_detector(task, CONFIG, lambda *_: (Brightest(), {}))
    assert trained.detection.shift == (1.0, 0.5)
    assert_allclose(trained.boxes[0].xyxy, [[11, 8.5, 31, 24.5]])


@pytest.mark.parametrize(
    ("change", "asked", "learned"),
    [
        ({"final": "reuse", "held_out_folds": 1}, [0], [1, 2]),
        ({"final": "refit", "held_out_folds": 1}, [0, None], [0, 1, 2]),
        ({"final": "refit", "held_out_folds": 0}, [0, 1, 2, None], [0, 1, 2]),
    ],
)
def test_as_many_folds_are_held_out_as_asked_and_the_final_one_learns_from_all_or_is_the_first(
    task, change, asked, learned
):
    called = []

    def learner(setup, fold, name):
        called.append((fold, name))
        return Brightest(), {}

    trained = train_detector(task, replace(CONFIG, **change), learner)
    assert called == [(fold, "final" if fold is None else f"fold {fold}") for fold in asked]
    folds = np.arange(12) // 2 % 3
    judged = np.isin(folds, [fold for fold in asked if fold is not None])
    assert [boxes is not None for boxes in trained.boxes] == judged.tolist()
    assert_array_equal(trained.trained_on, np.flatnonzero(np.isin(folds, learned)))


def test_what_is_held_out_has_no_say(trained, manifest, tmp_path):
    """Another picture and other boxes there give the same network."""
    records = list(manifest.records)
    for row in np.flatnonzero(np.arange(12) // 2 % 3 == 0):
        path = tmp_path / f"{row}.png"
        Image.fromarray(255 - read_image(records[row].path)).save(path)
        records[row] = replace(records[row], path=path, boxes=Boxes([[1, 1, 30, 9]], [1]))
    task = Task(replace(manifest, records=tuple(records)), np.arange(12) // 2 % 3, 7, tmp_path / "run", silent)
    assert train_detector(task, CONFIG).graph == trained.graph


@pytest.mark.parametrize(
    "change", [{"ema": 0.0}, {"softness": 0.0}, {"weight_decay": 9.0}, {"clip": 1e-3}, {"warm_up": 0.9}, {"rate": 1e-4}]
)
def test_options_of_the_training_reach_it(trained, task, change):
    assert train_detector(task, replace(CONFIG, **change)).graph != trained.graph


def batches_of(setup, epoch=0):
    return list(_batches(setup, setup.pictures(np.arange(12)), 4, 0, epoch))


def test_the_last_epochs_show_images_one_by_one(task):
    config = replace(CONFIG, epochs=4, mosaic=1.0, still=0.5, zoom=0.0)
    setup = _set_up(task, config)
    most = [max(targets.boxes.shape[1] for _, targets in batches_of(setup, epoch)) for epoch in range(4)]
    assert min(most[:2]) > 1
    assert most[2:] == [1, 1]


def test_images_keep_their_proportions_and_change_their_size_as_far_as_asked(wide, tmp_path):
    task = Task(wide, np.arange(12) % 3, 0, tmp_path, silent)
    setup = _set_up(task, replace(CONFIG, size=192))
    assert setup.preprocess.size == (64, 192)
    assert {tuple(images.shape[2:]) for images, _ in batches_of(setup)} == {(64, 192)}
    setup = _set_up(task, replace(CONFIG, size=192, multi_scale=0.5))
    shapes = {tuple(images.shape[2:]) for epoch in range(6) for images, _ in batches_of(setup, epoch)}
    assert len(shapes) > 2
    assert {side % 32 for shape in shapes for side in shape} == {0}
    assert 128 <= min(shape[1] for shape in shapes) < 192 < max(shape[1] for shape in shapes) <= 288


@pytest.mark.parametrize("detector", ["yolo_n", "yolo_s"])
def test_scenes_are_normalised_as_the_graph_does_it(manifest, tmp_path, detector):
    Image.new("L", (48, 48), 130).save(tmp_path / "grey.png")
    grey = [replace(record, path=tmp_path / "grey.png") for record in manifest.records]
    task = Task(replace(manifest, records=tuple(grey)), np.arange(12) // 2 % 3, 0, tmp_path / "run", silent)
    setup = _set_up(task, replace(CONFIG, detector=detector, augment=0.0))
    as_deployed = Normalise(setup.preprocess)(torch.full((1, 1, 1, 3), 130, dtype=torch.uint8))
    for images, _ in batches_of(setup):
        torch.testing.assert_close(images, as_deployed[:, : images.shape[1]].expand_as(images))


def test_difficult_boxes_stay_difficult(manifest, tmp_path):
    first, *rest = manifest.records
    marked = replace(first, boxes=Boxes(first.boxes.xyxy, first.boxes.class_id, difficult=[True] * len(first.boxes)))
    task = Task(replace(manifest, records=(marked, *rest)), np.arange(12) // 2 % 3, 0, tmp_path, silent)
    boxes = _set_up(task, CONFIG).source.boxes
    assert [bool(one.difficult.any()) for one in boxes] == [True] + [False] * 11
