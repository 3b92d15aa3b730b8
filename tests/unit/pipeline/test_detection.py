"""A tiny detection set through train, evaluate, ensemble and export."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

import millscale as ms  # noqa: E402
from millscale.core.errors import DataError, ModelError, UsageError  # noqa: E402
from millscale.core.types import Boxes  # noqa: E402
from millscale.data.audit.overlap import Overlap  # noqa: E402
from millscale.data.convert import to_pascal_voc  # noqa: E402
from millscale.data.manifest import ImageRecord, Manifest  # noqa: E402
from millscale.data.split import Split, named_split, split  # noqa: E402
from millscale.imaging.preprocess import Preprocess  # noqa: E402
from millscale.learn.recipe import Start, Task, TrainedDetector  # noqa: E402
from millscale.metrics.detection_results import read_coco_results  # noqa: E402
from millscale.metrics.detection_thresholds import choose_thresholds, crossfit_thresholds  # noqa: E402
from millscale.pipeline.config import TrainConfig  # noqa: E402
from millscale.pipeline.ensemble import ensemble  # noqa: E402
from millscale.pipeline.evaluate import evaluate  # noqa: E402
from millscale.pipeline.export import export  # noqa: E402
from millscale.pipeline.tasks import detect  # noqa: E402
from millscale.pipeline.train import _dealt, _protocol, train  # noqa: E402
from millscale.runtime.bundle import content_keys, open_bundle  # noqa: E402
from millscale.runtime.card import Costs, Detection  # noqa: E402
from millscale.runtime.inspector import Inspector  # noqa: E402

OPTIONS = {"size": 64, "epochs": 1, "batch": 4, "start": "random", "final": "reuse"}


@pytest.fixture(scope="module")
def images(shapes, tmp_path_factory) -> Manifest:
    """Twelve images with a bright square or bar each, of which the last is background, as Pascal VOC."""
    records = [replace(record, group=None) for record in shapes.records]
    records[-1] = replace(records[-1], boxes=Boxes(np.zeros((0, 4)), np.zeros(0)))
    destination = tmp_path_factory.mktemp("voc") / "set"
    to_pascal_voc(replace(shapes, records=tuple(records), classes=("bar", "square")), destination)
    return ms.read(destination)


def config(images: Manifest, **changes: object) -> TrainConfig:
    options = OPTIONS | changes.pop("options", {})  # type: ignore[operator]
    return TrainConfig(images.source, name="tiny", folds=3, options=options, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    return train(images, config(images), tmp_path_factory.mktemp("run"))


def test_boxes_ask_for_a_detector_and_background_stays(run, images):
    assert run.document["config"]["task"] == "detect"
    assert run.document["config"]["recipe"] == "detect"
    assert len(run.manifest) == len(images) == 12
    assert run.manifest.classes == images.classes
    assert sum(len(record.boxes) == 0 for record in run.manifest.records) == 1


def test_only_the_first_fold_is_judged_and_said_so(run):
    assert set(run.table.fold.tolist()) == {0}
    assert run.bundle.card.protocol == "1 of 3 folds held out, images that share pixels kept together"
    assert run.metrics.images == len(run.split.folds[0])


def test_the_folder_holds_what_others_need(run, images):
    document = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    assert {"map50", "map50_95", "ap50", "intervals"} <= set(document["metrics"])
    again = read_coco_results(run.folder / "predictions.json.gz", images)
    assert again.ids == run.table.ids
    assert "mAP50" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_the_bundle_finds_what_was_judged(run):
    inspector = Inspector.open(run.bundle_path)
    assert inspector.card.thresholds == run.metrics.to_json()["thresholds"]
    for path, judged in zip(run.table.paths, run.table.found, strict=True):
        found = inspector.inspect(path).boxes
        np.testing.assert_allclose(np.sort(found.score), np.sort(judged.score), atol=1e-3)


def test_the_same_seed_gives_the_same_bytes(run, images, tmp_path):
    again = train(images, config(images), tmp_path)
    assert again.bundle_path.read_bytes() == run.bundle_path.read_bytes()
    predictions = [folder / "predictions.json.gz" for folder in (run.folder, tmp_path)]
    assert predictions[0].read_bytes() == predictions[1].read_bytes()


def test_a_given_part_is_judged_and_the_rest_trained_on(images, tmp_path):
    groups = {name: name for name in images.ids}
    given = named_split(images, {"train": images.ids[4:], "val": images.ids[:3]}, groups)
    given.save(tmp_path / "given.json")
    records = list(images.records)
    records[3] = replace(records[3], boxes=Boxes([[1, 1, 9, 9]], [2]))  # in no part: nothing learns its class
    images = replace(images, records=tuple(records), classes=(*images.classes, "blob"))
    made = train(images, config(images, split=str(tmp_path / "given.json")), tmp_path / "run")
    assert set(made.table.ids) == set(images.ids[:3])
    assert made.bundle.card.classes == ("bar", "square")
    assert len(made.manifest) == 11
    assert made.bundle.card.protocol.startswith("a given training part and test part")


@pytest.fixture(scope="module")
def gone_on(run, images, tmp_path_factory):
    """From what knows folds 1 and 2: taught fold 1 and an image of fold 0, hardly moved, judged on the rest of that."""
    folder = tmp_path_factory.mktemp("gone_on")
    held, new = run.split.folds[0][:-1], run.split.folds[0][-1]
    parts = {"train": (*run.split.folds[1], new), "val": held}
    named_split(images, parts, {name: name for name in images.ids}).save(folder / "given.json")
    options = {"start": run.bundle_path, "rate": 1e-12, "ema": 0.0}
    return train(images, config(images, split=str(folder / "given.json"), options=options), folder / "run")


def test_training_goes_on_from_the_weights_of_a_bundle(run, gone_on):
    before, after = (_weights(made.bundle) for made in (run, gone_on))
    last = [name for name in before if "_preds" in name and name.endswith("weight")]  # without a norm, which moves
    assert len(last) == 6
    for name in last:
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)


def _weights(bundle) -> dict[str, np.ndarray]:
    graph = onnx.load_from_string(bundle.members["detector.onnx"]).graph
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}


def test_what_was_learned_from_before_counts_as_seen(run, gone_on, images):
    new = run.split.folds[0][-1]
    keys = content_keys(record.content_hash for record in images.records if record.id == new)
    assert set(gone_on.bundle.seen) == {*run.bundle.seen, *keys}
    start = gone_on.bundle.card.provenance["start"]
    assert (start["name"], start["images"]) == ("tiny", len(run.bundle.seen))
    assert "Went on from tiny" in gone_on.bundle.card.licence_notes
    assert f"after {len(run.bundle.seen)} images by tiny" in gone_on.protocol.trained_on
    found = evaluate(gone_on.bundle_path, images)
    assert f"after {len(run.bundle.seen)} images by tiny" in found.report.protocol.trained_on


def test_a_run_that_went_on_is_repeated_by_its_run_json(run, gone_on):
    document = json.loads((gone_on.folder / "run.json").read_text(encoding="utf-8"))
    assert TrainConfig.from_json(document["config"]).options["start"] == str(run.bundle_path)


def of_trained(boxes, **more) -> TrainedDetector:
    """A detector of which only what it found and what it learned from matters."""
    network = {"graph": b"", "preprocess": Preprocess(), "detection": Detection(), "reference": ()}
    return TrainedDetector(boxes, **network, details={}, licence_notes="", **more)


@pytest.mark.parametrize(("learned", "leak"), [("mate", 1.0), ("nothing", 0.0), ("elsewhere", None)])
def test_a_start_that_learned_from_an_overlapping_image_leaks(run, images, tmp_path, learned, leak):
    """Though that image has no part in the new training; what it learned from elsewhere cannot be compared."""
    mate, held, *rest = images.ids
    audit = replace(run.audit, overlaps=(Overlap(mate, held, 1.0, 0, 0, exact=True),))
    chosen = images.select([held, *rest])
    task = Task(chosen, np.array([0] + len(rest) * [1]), 0, tmp_path, lambda *_: None, judged=1)
    hashes = {
        "mate": [images.select([mate]).records[0].content_hash],
        "nothing": [],
        "elsewhere": 4 * ["0123456789abcdef"],
    }
    trained = of_trained(
        (chosen.records[0].boxes, *len(rest) * [None]),
        trained_on=np.arange(1, len(chosen)),
        start=Start("before", content_keys(hashes[learned])),
    )
    table = replace(detect.judged(task, trained), fold=np.array([0]))
    found = _protocol(task, trained, table, audit, images)
    assert found.leak == leak
    assert ("shared pixels cannot be told" in found.trained_on) == (learned == "elsewhere")


def test_a_final_model_of_one_fold_says_nothing_of_what_the_others_learned_from(run, images, tmp_path):
    task = Task(images, np.arange(12) % 3, 0, tmp_path, lambda *_: None)
    trained = of_trained(tuple(record.boxes for record in images.records), trained_on=task.training_rows(0))
    found = _protocol(task, trained, detect.judged(task, trained), run.audit, images)
    assert found.trained_on == "the other 2 folds, 8 images"


def test_what_a_bundle_knows_is_not_held_out(run, images, tmp_path):
    options = {"start": str(run.bundle_path), "held_out_folds": 2}
    with pytest.raises(DataError, match=f"found {len(run.split.folds[1])} of them"):
        train(images, config(images, options=options), tmp_path / "again")


@pytest.fixture
def few(images, tmp_path):
    """The same folder; images 2, 5, 8 and 10 have lost their XML."""
    folder = tmp_path / "few"
    to_pascal_voc(images, folder)
    for k in (2, 5, 8, 10):
        (folder / f"Annotations/{k:02}.xml").unlink()
    return ms.read(folder)


def test_images_without_xml_are_learned_from_and_never_judged(few, tmp_path):
    made = train(few, config(few, recipe="detect_semi", options={"student_epochs": 1, "views": 1}), tmp_path / "run")
    bare = {record.id for record in few.records if record.boxes is None}
    assert len(bare) == 4
    assert not bare & set(made.table.ids)
    assert set(made.manifest.ids) == set(few.ids)
    assert made.bundle.card.provenance["trained_on"] == 12 - len(made.split.folds[0])
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"{8 - len(made.split.folds[0])} images and 4 without labels" in page
    assert made.document["trained"]["learned"]["fold 0"]["without_annotation"] == 4


def dealt(few: Manifest, tmp_path, parts: Split) -> dict[str, int]:
    """The folds of a given split; images 8 and 9 are of one group, all others alone."""
    parts.save(tmp_path / "given.json")
    groups = {name: few.ids[8] if name == few.ids[9] else name for name in few.ids}
    manifest = few.with_groups(groups)
    known = manifest.select(record.id for record in few.records if record.boxes is not None)
    given = config(few, split=str(tmp_path / "given.json"))
    return _dealt(known, manifest, given, set(), set(few.ids), named=True)[1]


def test_images_without_xml_in_or_like_a_given_test_part_are_left_alone(few, tmp_path):
    ids = few.ids
    parts = {"train": ids[3:8], "val": (*ids[:3], ids[9])}  # images 2, 5, 8 and 10 have no XML
    home = dealt(few, tmp_path, named_split(few, parts, {name: name for name in ids}))
    assert home == {ids[k]: fold for k, fold in {0: 0, 1: 0, 9: 0, 3: 1, 4: 1, 6: 1, 7: 1, 5: -1, 10: -1}.items()}


def test_a_given_part_of_images_without_xml_alone_judges_nothing(few, tmp_path):
    ids, own = few.ids, {name: name for name in few.ids}
    home = dealt(few, tmp_path, named_split(few, {"train": ids[6:8], "val": ids[2:3], "test": ids[:2]}, own))
    assert home == {ids[k]: fold for k, fold in {0: 0, 1: 0, 6: 1, 7: 1, 5: -1, 8: -1, 10: -1}.items()}
    with pytest.raises(DataError, match="in 'val' or 'test', found 2 and 0"):
        dealt(few, tmp_path, named_split(few, {"train": ids[6:8], "val": ids[2:3]}, own))


@pytest.mark.parametrize("listed", [True, False])
def test_given_folds_may_list_images_without_xml(few, tmp_path, listed):
    named = few if listed else few.select(record.id for record in few.records if record.boxes is not None)
    home = dealt(few, tmp_path, split(named, folds=3, groups={name: name for name in few.ids}))
    assert set(home) == set(few.ids)
    assert {k for k, name in enumerate(few.ids) if home[name] == -1} == {2, 5, 8, 10}
    assert set(home.values()) == {-1, 0, 1, 2}


def test_a_bundle_that_finds_something_else_is_refused(run):
    reference = tuple(Boxes(b.xyxy + 1, b.class_id, np.maximum(b.score, 0.1)) for b in run.table.found)
    rows = run.manifest.select(run.table.ids)
    trained = TrainedStub(reference)
    with pytest.raises(ModelError, match=r"finds \d+ of the \d+ boxes .* The bundle is not written"):
        detect.check_bundle(run.bundle, rows, trained, lambda *_: None)


@pytest.mark.parametrize(
    ("moved", "weaker", "label", "found"),
    [
        (0.09, 0.0, 0, True),
        (0.11, 0.0, 0, False),
        (0.0, 0.0009, 0, True),
        (0.0, 0.0011, 0, False),
        (0.0, 0.0, 1, False),
    ],
)
def test_a_box_is_found_again_at_its_place_with_its_score_and_class(moved, weaker, label, found):
    reference = Boxes([[10, 10, 40, 30], [50, 50, 60, 60]], [0, 0], [0.8, 0.04])  # the second is too weak to count
    near = Boxes([[10 + moved, 10, 40, 30], [11, 10, 40, 30]], [label, 0], [0.8 - weaker, 0.3])
    assert detect.found_again(reference, near).tolist() == [found]


@pytest.mark.parametrize(("lost", "refused"), [(1, False), (2, True)])
def test_a_bundle_may_lose_one_box_in_a_hundred_and_no_more(bundles, grid, tmp_path, lost, refused):
    """Seven pictures of sixteen boxes each, and others that were found where it was trained."""
    records = []
    for k in range(7):
        path = tmp_path / f"{k}.png"
        path.write_bytes(grid.picture({(x, y): (200, 0, 0) for x in range(4) for y in range(4)}))
        records.append(ImageRecord(path.name, path))
    bundle = open_bundle(bundles.detector)
    found = [Inspector.open(bundle).inspect(record.path).boxes for record in records]
    assert sum(map(len, found)) == 112
    first = found[0]
    others = [[0, 0, 5, 5]] * lost
    more = Boxes([*first.xyxy, *others], [*first.class_id, *[2] * lost], [*first.score, *[0.9] * lost])
    reference = TrainedStub((more, *found[1:]))
    expected = pytest.raises(ModelError, match="finds 112 of the 114 boxes") if refused else nullcontext()
    with expected:
        detect.check_bundle(bundle, Manifest(tuple(records), (), ""), reference, lambda *_: None)


def test_each_image_is_judged_at_thresholds_of_other_groups_but_for_those_that_are_kept(located):
    truth = [[(k % 2, 10, 10, 40, 40)] for k in range(20)]
    found = [[(k % 2, 10, 10, 40, 40, (k + 1) / 25), ((k + 1) % 2, 50, 50, 60, 60, (20 - k) / 25)] for k in range(20)]
    table = located(truth, found, groups=tuple(f"g{k // 4}" for k in range(20)))
    limits = crossfit_thresholds(table, seed=3)
    assert len(np.unique(limits)) > 2
    np.testing.assert_array_equal(detect.measured(table, 3).limits, limits)
    kept = detect.measured(table, 3, {"pit": 0.77})
    np.testing.assert_array_equal(kept.limits, np.stack([limits[:, 0], np.full(20, 0.77)], 1))
    assert kept.thresholds.tolist() == [choose_thresholds(table)["scratch"], 0.77]
    assert kept.groups == 5


class TrainedStub:
    """The one field that ``check_bundle`` reads."""

    def __init__(self, reference: tuple[Boxes, ...]) -> None:
        self.reference = reference


def test_evaluate_judges_by_the_cards_thresholds(run, images, tmp_path):
    result = evaluate(run.bundle_path, images, tmp_path)
    assert result.task == "detect"
    learned_from = len(images) - len(run.split.folds[0])
    assert result.report.protocol.trained_on.startswith(f"{learned_from} images of set")
    assert result.metrics.thresholds.tolist() == run.metrics.thresholds.tolist()
    assert result.trained_on == learned_from  # the first fold was held out, and stays so
    assert set(json.loads((tmp_path / "evaluation.json").read_text())["ap50"]) == set(images.classes)


def test_a_class_that_the_bundle_does_not_know_is_refused(run, images):
    renamed = replace(images, classes=("bar", "hole"))
    with pytest.raises(DataError, match=r"bundle's classes \(bar, square\), found hole"):
        evaluate(run.bundle_path, renamed)


def test_unusable_annotations_stop_it_unless_told_otherwise(images, tmp_path):
    folder = tmp_path / "set"
    to_pascal_voc(images, folder)
    broken = next(path for path in folder.rglob("*.xml"))
    broken.write_text(broken.read_text(encoding="utf-8")[:60], encoding="utf-8")
    read = ms.read(folder)
    with pytest.raises(DataError, match="--skip-bad"):
        train(read, config(read), tmp_path / "run")
    made = train(read, config(read, skip_bad=True), tmp_path / "run")
    assert len(made.manifest) == 11
    assert any(problem.code == "skipped" for problem in made.audit.problems)


@pytest.fixture
def other(run, tmp_path):
    """The bundle again, under another name."""
    return ensemble([run.bundle_path], "other", views=1).save(tmp_path / "other.millscale")


def test_two_detectors_are_fused_and_weighted(run, other, images, tmp_path):
    joined = ensemble([run.bundle_path, other], "both", weights=[1, 2], views=2)
    path = joined.save(tmp_path / "both.millscale")
    card = open_bundle(path).card
    assert [part.file for part in card.parts] == ["detector_1.onnx", "detector_2.onnx"]
    assert card.fusion.thresholds == pytest.approx(run.metrics.to_json()["thresholds"])
    assert {part.detection.views for part in card.parts} == {2}
    result = evaluate(path, images, tmp_path / "evaluation")
    assert 0 <= result.metrics.map50 <= 1


@pytest.mark.parametrize(
    ("names", "weights", "message"),
    [
        (["run"], None, "two bundles or more to join, or one with"),
        (["run", "run"], None, "bundles that differ, found one twice"),
        (["run", "other"], [1.0], "each of 2 detectors"),
        (["run", "other"], [1.0, float("nan")], "a number above 0"),
    ],
)
def test_ensembles_that_make_no_sense_are_refused(run, other, names, weights, message):
    paths = {"run": run.bundle_path, "other": other}
    with pytest.raises(UsageError, match=message):
        ensemble([paths[name] for name in names], "x", weights=weights)


def test_costs_are_refused_where_they_have_no_say(images, tmp_path):
    with pytest.raises(UsageError, match="thresholds decide what a detector finds. Leave --cost out"):
        train(images, config(images, costs=Costs(escape=50)), tmp_path)


def test_who_may_have_meant_to_locate_is_told_how(images, tmp_path):
    records = tuple(r if k % 2 else replace(r, boxes=None) for k, r in enumerate(images.records))
    half = replace(images, records=records)
    with pytest.raises(UsageError, match="5 of 12 images have boxes, too few .* --task detect asks"):
        train(half, config(half), tmp_path)


def test_recipes_of_another_task_are_refused(images, tmp_path):
    with pytest.raises(
        UsageError, match=r"task 'classify' \(finetune, fixmatch, probe, scratch, semi\), found 'detect'"
    ):
        train(images, TrainConfig(images.source, task="classify", recipe="detect"), tmp_path)
    with pytest.raises(UsageError, match="task 'segment'"):
        TrainConfig(images.source, task="segment")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_exported_networks_answer_alike(run, images, tmp_path, backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
    found = export(run.bundle, tmp_path / "out", backend, [record.path for record in images.records])
    assert {parity.output for parity in found} == {"boxes", "scores"}
    names = {path.name for path in (tmp_path / "out").iterdir()}
    graph = {"detector.onnx"} if backend == "onnxruntime" else {"detector.xml", "detector.bin"}
    assert names == {"card.json", "parity.json"} | graph
