"""A teacher and its student on dark images with bright squares and bars, most of them without annotation."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

torch = pytest.importorskip("torch")

from millscale.core.boxes import iou_matrix  # noqa: E402
from millscale.core.errors import DataError  # noqa: E402
from millscale.data.manifest import Manifest  # noqa: E402
from millscale.learn.recipe import Task  # noqa: E402
from millscale.train import detector, semi_detector  # noqa: E402
from millscale.train.checkpoint import load_checkpoint  # noqa: E402
from millscale.train.config import DetectorConfig, SemiDetectorConfig  # noqa: E402
from millscale.train.detection import Detector  # noqa: E402
from millscale.train.semi_detector import found_in_views, train_semi_detector  # noqa: E402

CONFIG = SemiDetectorConfig(
    size=64, epochs=2, student_epochs=1, batch=4, start="random", final="reuse", teacher_views=2, firm=0.0
)
FOLDS = np.array([0, 1, 2, -1] * 3)


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def manifest(shapes) -> Manifest:
    """Twelve images, every fourth without annotation; the last but one shares the group of image 8, of fold 0."""
    records = list(shapes.records)
    for k in np.flatnonzero(FOLDS < 0):
        records[k] = replace(records[k], boxes=None)
    records[7] = replace(records[7], group="g8")
    return replace(shapes, records=tuple(records))


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory):
    return train_semi_detector(Task(manifest, FOLDS, 7, tmp_path_factory.mktemp("run"), silent), CONFIG)


def test_only_annotated_images_are_judged_and_the_teacher_is_judged_on_them_too(trained):
    assert [boxes is not None for boxes in trained.boxes] == (FOLDS == 0).tolist()
    assert [boxes is not None for boxes in trained.reference] == (FOLDS >= 0).tolist()
    teacher, student = trained.details["learned"]["fold 0"]["map50"]
    assert 0 <= min(teacher, student) <= max(teacher, student) <= 1


def test_windows_of_images_are_learned_from_and_images_told_of(manifest, tmp_path):
    """Images of 48 pixels, each one window of 64 with grey beyond its edges."""
    task = Task(manifest, FOLDS, 7, tmp_path, silent)
    found = train_semi_detector(task, replace(CONFIG, tile=64, epochs=1))
    assert found.tile == 64
    told = found.details["learned"]["fold 0"]
    assert (told["annotated"], told["without_annotation"]) == (6, 2)


def test_images_that_share_a_group_with_the_fold_held_out_are_not_learned_from(trained):
    assert_array_equal(trained.trained_on, [1, 2, 3, 5, 6, 9, 10, 11])
    assert trained.details["learned"]["fold 0"]["without_annotation"] == 2


def test_an_interrupted_training_ends_with_the_same_bytes(trained, manifest, tmp_path):
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "fold 0 boxes 0":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_semi_detector(Task(manifest, FOLDS, 7, tmp_path, interrupt), CONFIG)
    again = train_semi_detector(Task(manifest, FOLDS, 7, tmp_path, silent), CONFIG)
    assert again.graph == trained.graph
    assert again.details == trained.details


def test_without_students_it_is_the_plain_detector(manifest, tmp_path):
    config = replace(CONFIG, rounds=0, epochs=1)
    plain = DetectorConfig(size=64, epochs=1, batch=4, start="random", final="reuse")
    task = Task(manifest, FOLDS, 7, tmp_path / "semi", silent)
    teacher = detector.train_detector(
        replace(task, folder=tmp_path / "plain"),
        plain,
        lambda s, fold, _: (detector.train_on(s, np.flatnonzero(FOLDS > 0), "fold 0 teacher"), {}),
    )
    assert train_semi_detector(task, config).graph == teacher.graph


def test_no_image_without_annotation_is_refused(manifest, tmp_path):
    known = manifest.select(name for name, fold in zip(manifest.ids, FOLDS, strict=True) if fold >= 0)
    with pytest.raises(DataError, match=r"images without annotation .* found none among 9\. .* --recipe detect"):
        train_semi_detector(Task(known, FOLDS[FOLDS >= 0], 7, tmp_path, silent), CONFIG)


class Brightest(Detector):
    """Finds the box around what is bright, in every view where its left upper quarter is not the brightest."""

    def raw(self, images):
        boxes, scores = torch.zeros(len(images), 1, 4), torch.zeros(len(images), 1, 2)
        for k, image in enumerate(images):
            rows, columns = torch.nonzero(image[0] > image[0].mean() + image[0].std(), as_tuple=True)
            boxes[k, 0] = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            scores[k, 0, 0] = 0.0 if rows.float().mean() + columns.float().mean() < 40 else 0.8
        return boxes, scores


def test_boxes_of_the_views_are_brought_back_and_scored_by_their_agreement(manifest, tmp_path):
    task = Task(manifest, FOLDS, 7, tmp_path, silent)
    setup = detector._set_up(task, CONFIG)
    found = found_in_views(setup, [Brightest()], np.array([0]), 8, "views")[0]
    # The square of image 0 lies at 4, 8 of 48 pixels, brought to 64; two of its eight views hide it.
    assert iou_matrix(found.xyxy, np.array([[4, 8, 20, 24]]) * 64 / 48)[0, 0] > 0.8
    assert_allclose(found.score, [0.8 * 6 / 8], rtol=1e-5)


def test_annotated_images_make_up_their_share_of_the_students_scenes():
    for annotated, bare in ((10, 90), (50, 50), (90, 10), (7, 0)):
        times = semi_detector._times(annotated, bare, 0.33)
        assert annotated * times / (annotated * times + bare) >= 0.33
        assert times == 1 or annotated * (times - 1) / (annotated * (times - 1) + bare) < 0.33
    assert semi_detector._times(10, 90, 0.0) == 1


def test_the_students_boxes_are_the_annotators_and_where_there_are_none_the_teachers(manifest, tmp_path):
    setup = detector._set_up(Task(manifest, FOLDS, 7, tmp_path, silent), CONFIG)
    annotated, bare = np.flatnonzero(FOLDS >= 0), np.flatnonzero(FOLDS < 0)
    source, told = semi_detector._with_pseudo_boxes(setup, [Brightest()], annotated, bare, "boxes")
    for row in annotated:
        assert source.boxes[row] is setup.source.boxes[row]
    for row in bare:
        k = int(row)
        truth = np.array([[4 + 2 * k, 8 + k, 12 + 2 * k, 24 + k]]) * 64 / 48
        assert iou_matrix(source.boxes[row].xyxy, truth).max() > 0.6
    # One bar is drawn on every second image of the nine, so two of three images without annotation show one.
    assert told["square"]["boxes"] == sum(int((~source.boxes[row].difficult).sum()) for row in bare)
    assert told["bar"]["boxes"] == 0


def test_several_teachers_are_as_many_detectors_and_a_new_student_forgets_none_of_their_files(manifest, tmp_path):
    config = replace(CONFIG, teachers=2, anew=True)
    found = train_semi_detector(Task(manifest, FOLDS, 7, tmp_path, silent), config)
    names = sorted(path.stem for path in tmp_path.glob("*.safetensors"))
    assert names == ["fold-0-student-0", "fold-0-teacher", "fold-0-teacher-1"]
    assert len(found.details["learned"]["fold 0"]["map50"]) == 2
    weights = [load_checkpoint(tmp_path / f"{name}.safetensors")[0]["best.head.cls_preds.0.weight"] for name in names]
    assert not any(torch.equal(a, b) for a, b in combinations(weights, 2))


def test_what_one_of_two_models_finds_counts_half(manifest, tmp_path):
    setup = detector._set_up(Task(manifest, FOLDS, 7, tmp_path, silent), CONFIG)
    found = found_in_views(setup, [Brightest(), Blind()], np.array([0]), 1, "views")[0]
    alone = found_in_views(setup, [Brightest()], np.array([0]), 1, "views")[0]
    assert_allclose(found.score, alone.score / 2, rtol=1e-6)


class Blind(Detector):
    """Finds nothing."""

    def raw(self, images):
        return torch.zeros(len(images), 1, 4), torch.zeros(len(images), 1, 2)
