"""Thresholds chosen anew, on pictures where each true defect is of 0.4 red, and as many spots of 0.2 are none."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper

from millscale.core.boxes import iou_matrix
from millscale.core.errors import DataError, UsageError
from millscale.core.types import Boxes
from millscale.data.manifest import ImageRecord, Manifest
from millscale.pipeline.ensemble import _in_windows, ensemble
from millscale.pipeline.evaluate import evaluate
from millscale.runtime.arrays import npy
from millscale.runtime.bundle import SEEN, content_keys, make_bundle, open_bundle
from millscale.runtime.card import TASKS, Part
from millscale.runtime.inspector import Inspector


@pytest.fixture
def knowing(bundles, tmp_path):
    """A bundle of the session, that keeps what it learned from: ``knowing(name, records)``."""

    def keep(name, records=()):
        bundle = open_bundle(getattr(bundles, name))
        members = bundle.members | {SEEN: npy(content_keys(record.content_hash for record in records))}
        return make_bundle(bundle.card.model_dump(exclude={"sha256"}), members).save(tmp_path / f"{name}.millscale")

    return keep


@pytest.fixture
def images(grid, tmp_path) -> Manifest:
    records = []
    for k in range(6):
        path = tmp_path / f"{k}.png"
        path.write_bytes(
            grid.picture({(k % 4, k // 4): (102, 0, 0), (k % 4, 3): (51, 0, 0), (3 - k % 4, 2): (0, k, 9)})
        )
        corner = np.array([10 * (k % 4), 10 * (k // 4)])
        boxes = Boxes([[*corner, *(corner + 10)]], [0])
        records.append(ImageRecord(path.name, path, boxes=boxes, group=f"g{k}"))
    return Manifest(tuple(records), ("red", "green", "blue"), str(tmp_path))


@pytest.mark.parametrize("views", [None, 4])
def test_one_detector_gets_views_and_thresholds(knowing, images, views):
    made = ensemble([knowing("detector")], "made", views=views, images=images)
    assert made.card.fusion is None
    assert [part.detection.views for part in made.card.parts] == [views or 1]
    assert made.card.thresholds["red"] == pytest.approx(0.3)
    assert made.card.metrics["ap50"]["red"] == 1.0
    assert "curves" not in made.card.metrics
    assert made.card.protocol.startswith("6 images of")


def test_a_class_that_the_images_do_not_show_keeps_its_threshold(knowing, images):
    bundle = knowing("detector")
    made = ensemble([bundle], "made", images=images)
    assert made.card.thresholds["blue"] == open_bundle(bundle).card.thresholds["blue"] != 0.5
    assert made.card.protocol.endswith("none of them shows green, blue, whose thresholds are as before")
    assert made.card.metrics["thresholds"] == made.card.thresholds


def test_what_is_fused_already_keeps_its_weights_and_thresholds(knowing, tmp_path, images):
    first = ensemble([knowing("detector"), knowing("one_eyed")], "first", weights=[3, 1], images=images)
    again = ensemble([first.save(tmp_path / "first.millscale")], "again", views=4)
    assert again.card.fusion == first.card.fusion
    assert [part.detection.views for part in again.card.parts] == [4, 4]


def test_what_is_fused_already_can_be_weighed_anew(knowing, tmp_path):
    first = ensemble([knowing("detector"), knowing("one_eyed")], "first", weights=[3, 1])
    again = ensemble([first.save(tmp_path / "first.millscale")], "again", views=4, weights=[1, 3])
    assert again.card.fusion.weights == (1, 3)


def test_what_is_fused_already_is_not_fused_with_others(bundles, tmp_path):
    first = ensemble([bundles.detector, bundles.one_eyed], "first", weights=[3, 1]).save(tmp_path / "first.millscale")
    with pytest.raises(UsageError, match="found fused ones in first, whose weights and scales would be lost"):
        ensemble([first, bundles.detector], "again")


def test_a_bundle_has_eight_detectors_at_most(grid, tmp_path):
    made = [make_bundle(grid.card(name=f"d{k}"), grid.members).save(tmp_path / f"{k}.millscale") for k in range(9)]
    assert len(ensemble(made[:8], "eight").card.detectors) == 8
    with pytest.raises(UsageError, match=r"and 8 detectors, found 0 \(none\) and 9"):
        ensemble(made, "nine")


def test_what_a_member_learned_from_is_unknown_where_one_does_not_tell(knowing, bundles, images):
    of_two = ensemble([knowing("detector", images.records), bundles.one_eyed], "made")
    assert SEEN not in of_two.members
    told = evaluate(of_two, images).report.protocol
    assert (told.leak, "none can be recognised" in told.trained_on) == (None, True)


@pytest.mark.parametrize(("weights", "score"), [([3, 1], 0.75), ([1, 3], 0.25)])
def test_what_one_of_two_finds_counts_by_its_weight(knowing, grid, weights, score):
    made = ensemble([knowing("detector"), knowing("one_eyed")], "made", weights=weights)
    boxes = Inspector.open(made).inspect(grid.picture({(3, 3): (255, 0, 0)})).boxes
    assert boxes.xyxy.tolist() == [[30, 30, 40, 40]]
    assert boxes.score.tolist() == pytest.approx([score])


def test_beside_a_classifier_what_is_fused_stays_fused_as_it_was(knowing, tmp_path, images):
    first = ensemble([knowing("detector"), knowing("one_eyed")], "first", weights=[3, 1], images=images)
    made = ensemble([first.save(tmp_path / "first.millscale"), knowing("classifier")], "both")
    assert made.card.fusion == first.card.fusion


def test_fused_detectors_get_thresholds_of_the_fused_scores(knowing, images):
    """One sees the first cell only, so that the mean of the two is half of what one finds elsewhere."""
    some = images.select(["1.png", "2.png", "3.png"])
    made = ensemble([knowing("detector"), knowing("one_eyed")], "made", images=some)
    assert made.card.thresholds["red"] == pytest.approx((0.2 + 0.1) / 2)


@pytest.fixture
def modest(grid, tmp_path):
    """The grid detector, with the squares of its scores."""
    model = onnx.load_from_string(grid.graph)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["roots" if name == "scores" else name for name in names]
    model.graph.node.append(helper.make_node("Mul", ["roots", "roots"], ["scores"]))
    golden = {"file": "golden.png", "scores": {"detector.onnx": [1.0, 0.04] + 8 * [0.0]}}
    members = grid.members | {"detector.onnx": model.SerializeToString(), SEEN: npy(content_keys([]))}
    return make_bundle(grid.card(name="modest", golden=golden), members).save(tmp_path / "modest.millscale")


def test_detectors_that_score_unlike_are_brought_to_one_scale(knowing, modest, grid, images):
    """What one gives .4 and .2, the other gives .16 and .04: the weights do not matter where both mean the same."""
    made = ensemble([knowing("detector"), modest], "made", weights=[3, 1], images=images)
    own, other = made.card.fusion.scales
    assert {(0.4, 0.28), (0.2, 0.12)} <= {*own}
    assert {(0.16, 0.28), (0.04, 0.12)} <= {*other}
    boxes = Inspector.open(made).inspect(grid.picture({(3, 3): (102, 0, 0)})).boxes
    assert boxes.score.tolist() == pytest.approx([0.28], abs=1e-4)
    assert made.card.thresholds["red"] == pytest.approx(0.2)
    assert "the detectors' scores brought to one scale on these images" in made.card.protocol
    alone = ensemble([knowing("detector"), modest], "alone", weights=[3, 1])
    assert alone.card.fusion.scales == ()


def test_scales_are_chosen_anew_from_the_detectors_own_scores(knowing, modest, images, tmp_path):
    first = ensemble([knowing("detector"), modest], "first", images=images)
    again = ensemble([first.save(tmp_path / "first.millscale")], "again", images=images)
    assert again.card.fusion == first.card.fusion


def test_a_classifier_beside_it_stays_as_it_is(knowing, images):
    made = ensemble([knowing("both")], "made", images=images)
    assert [part.task for part in made.card.parts] == ["classify", "detect"]
    assert made.card.thresholds["red"] == pytest.approx(0.3)


def test_beside_a_classifier_with_another_order_boxes_are_judged_by_name(knowing, images, tmp_path):
    bundle = open_bundle(knowing("classifier"))
    card = bundle.card.model_dump(exclude={"sha256"}) | {"classes": ["green", "blue", "red"]}
    turned = make_bundle(card, bundle.members).save(tmp_path / "turned.millscale")
    made = ensemble([turned, knowing("detector")], "made", images=images)
    assert made.card.classes == made.card.located == ("green", "blue", "red")
    assert made.card.thresholds["red"] == pytest.approx(0.3)
    assert evaluate(made, images, task="detect").metrics.to_json()["ap50"] == {"green": None, "blue": None, "red": 1.0}


def test_images_that_a_member_learned_from_are_refused(knowing, images):
    with pytest.raises(DataError, match="found 2 of 6 that one has"):
        ensemble([knowing("detector", images.records[:2])], "made", images=images)


def test_images_that_show_nothing_can_choose_no_threshold(knowing, images):
    nothing = Boxes(np.zeros((0, 4)), np.zeros(0))
    clean = replace(images, records=tuple(replace(record, boxes=nothing) for record in images.records))
    with pytest.raises(DataError, match="found none among 6 annotated images: nothing to choose thresholds by"):
        ensemble([knowing("detector")], "made", images=clean)


def test_a_member_that_keeps_nothing_of_what_it_learned_from_is_refused(bundles, knowing, images):
    with pytest.raises(UsageError, match="found none of it in one_eyed"):
        ensemble([knowing("detector"), bundles.one_eyed], "made", images=images)


@pytest.mark.parametrize("name", ["detector", "both"])
def test_windows_reach_the_detectors_and_zero_takes_them_off(bundles, name, tmp_path):
    made = ensemble([getattr(bundles, name)], "made", tile=64)
    assert [part.tile for part in made.card.parts] == [None, 64][-len(made.card.parts) :]
    assert ensemble([made.save(tmp_path / "made.millscale")], "again", tile=0).card.detectors[0].tile is None


@pytest.mark.parametrize(
    ("name", "tasks", "fault"), [("detector", TASKS, 0), ("both", TASKS, 1), ("both", ("detect",), 0)]
)
def test_images_of_any_size_are_no_fault_where_all_is_seen_in_windows(bundles, tmp_path, name, tasks, fault):
    bundle = open_bundle(getattr(bundles, name))
    card = bundle.card.model_dump(exclude={"sha256"}) | {"quality": {"size": (30.0, 60.0), "aspect": (0.5, 2.0)}}
    made = ensemble([make_bundle(card, bundle.members).save(tmp_path / "limits.millscale")], "made", tile=64)
    image = (128 + 60 * np.add.outer(np.sin(np.arange(64) / 9), np.sin(np.arange(400) / 13)) / 2).astype(np.uint8)
    assert (Inspector(made, tasks=tasks).inspect(image).fault is not None) == bool(fault)
    assert Inspector(bundle).inspect(image).fault is None


def test_a_picture_larger_than_any_it_learned_from_is_inspected_in_windows(bundles):
    """Windows of 64 pixels that begin every 45 or so, each seen as 40."""
    image = np.zeros((64, 400, 3), np.uint8)
    image[16:32, 272:288, 0] = 255
    made = ensemble([bundles.detector], "made", tile=64)
    boxes = Inspector(made).inspect(image).boxes
    assert iou_matrix(boxes.xyxy[:1], [[272, 16, 288, 32]])[0, 0] > 0.3  # cells lie where they lie in windows
    assert boxes.score[0] > 0.5
    assert open_bundle(made.save(bundles.detector.with_name("windows.millscale"))).card == made.card


def test_windows_want_a_square_detector(bundles):
    bundle = open_bundle(bundles.detector)
    card = bundle.card.model_dump(exclude={"sha256"})
    card["parts"][0]["preprocess"]["size"] = [40, 80]
    part = Part.model_validate(card["parts"][0])
    with pytest.raises(UsageError, match="detectors of square images, found one of 80 x 40"):
        _in_windows(part, 64)
    with pytest.raises(ValueError, match="square size"):
        Part.model_validate(card["parts"][0] | {"tile": 64})


@pytest.mark.parametrize("views", [None, 8])
def test_views_and_thresholds_want_a_detector(bundles, images, views):
    with pytest.raises(UsageError, match="views, tile, data: expected a detector, found none"):
        ensemble([bundles.classifier], "made", views=views, images=None if views else images)
