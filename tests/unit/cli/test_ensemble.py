import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from millscale.runtime.bundle import make_bundle, open_bundle
from millscale.runtime.inspector import Inspector

COLOURS = ("red", "green", "mauve")


def detecting(grid, classes):
    """The grid detector's part, for its three scores called otherwise."""
    part = grid.card()["parts"][0]
    part["detection"] = {"thresholds": dict.fromkeys(classes, 0.5)}
    return part


@pytest.fixture
def sharper(grid, tmp_path):
    """The grid detector again with other thresholds."""
    card = grid.card(name="sharper")
    card["parts"][0]["detection"] = {"thresholds": {"red": 0.9, "green": 0.5, "blue": 0.1}}
    return make_bundle(card, grid.members).save(tmp_path / "sharper.millscale")


@pytest.fixture
def image(grid, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(grid.picture({(1, 2): (204, 0, 0), (3, 0): (0, 153, 0)}))
    return path


def renamed(bundle, path):
    """The same bundle under another name."""
    own = open_bundle(bundle)
    return make_bundle(own.card.model_dump(exclude={"sha256"}) | {"name": path.stem}, own.members).save(path)


def inspected(millscale, bundle, image):
    done = millscale("inspect", bundle, image, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


@pytest.mark.parametrize(
    ("weights", "red", "blue"), [(None, 0.7, 0.5), ("1,1", 0.7, 0.5), ("1,7", 0.85, 0.2), ("6,2", 0.6, 0.7)]
)
def test_detectors_are_fused_at_the_weighted_mean_of_their_thresholds(
    millscale, bundles, sharper, image, tmp_path, weights, red, blue
):
    out = tmp_path / "new" / "joined.millscale"
    words = ("--weights", weights) if weights else ()
    done = millscale("ensemble", bundles.detector, sharper, "--out", out, "--json", *words)
    assert json.loads(done.out) == {"bundle": str(out), "parts": ["detector_1.onnx", "detector_2.onnx"]}
    assert (done.code, done.err) == (0, "")
    card = open_bundle(out).card
    assert card.name == "joined"
    assert card.fusion.iou == 0.65
    assert card.thresholds == pytest.approx({"red": red, "green": 0.5, "blue": blue})
    assert [one["name"] for one in card.provenance["members"]] == ["grid", "sharper"]
    found = [(box["label"], box["score"], box["xyxy"]) for box in inspected(millscale, out, image)["boxes"]]
    strongest, second = ("red", 0.8, [10, 20, 20, 30]), ("green", 0.6, [30, 0, 40, 10])
    assert found == ([strongest, second] if red <= 0.8 else [second])


def test_a_classifier_decides_and_a_detector_locates(millscale, bundles, image, tmp_path):
    out = tmp_path / "joined.millscale"
    done = millscale("ensemble", bundles.detector, bundles.classifier, "--out", out)
    assert (done.code, done.out) == (0, "")
    assert "detect   detector.onnx\nclassify classifier.onnx\n" in done.err
    assert f"Next: millscale evaluate {out} DIR" in done.err
    alone, located, joined = (inspected(millscale, b, image) for b in (bundles.classifier, bundles.detector, out))
    assert joined["boxes"] == located["boxes"] != []
    assert [joined[key] for key in ("verdict", "confidence", "score")] == [
        alone[key] for key in ("verdict", "confidence", "score")
    ]


def test_detectors_whose_classes_stand_in_another_order_are_fused_by_name(millscale, bundles, grid, image, tmp_path):
    """The other calls red what is blue, and blue what is red."""
    order = ("blue", "green", "red")
    other = make_bundle(grid.card(name="other", classes=order, parts=[detecting(grid, order)]), grid.members)
    other.save(tmp_path / "other.millscale")
    out = tmp_path / "joined.millscale"
    done = millscale("ensemble", bundles.detector, tmp_path / "other.millscale", "--out", out)
    assert done.code == 0, done.err
    assert [part.classes for part in open_bundle(out).card.parts] == [None, order]
    inspector = Inspector.open(out)
    found = inspector.inspect(image).boxes
    named = [(inspector.card.classes[k], round(float(s), 3)) for k, s in zip(found.class_id, found.score, strict=True)]
    assert sorted(named) == [("blue", 0.4), ("green", 0.6), ("red", 0.4)]  # two that see half as much each


def test_a_classifier_may_know_what_no_box_is_drawn_around(millscale, bundles, grid, image, tmp_path):
    """It has a good class first, in front of what the detector locates."""
    card = open_bundle(bundles.classifier).card.model_dump(exclude={"sha256"})
    card |= {"classes": ["good", "green", "red"], "good_classes": ["good"], "name": "wise"}
    wise = make_bundle(card, open_bundle(bundles.classifier).members).save(tmp_path / "wise.millscale")
    found = onnx.load_from_string(grid.graph)
    colours = next(node for node in found.graph.node if node.op_type == "Reshape")
    colours.output[0] = "all"
    found.graph.node.insert(
        list(found.graph.node).index(colours) + 1, helper.make_node("Gather", ["all", "two"], ["by_colour"], axis=1)
    )
    found.graph.initializer.append(numpy_helper.from_array(np.array([0, 1]), "two"))
    for tensor in found.graph.initializer:
        if tensor.name == "nothing":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros((2, 4), np.float32), "nothing"))
    graph = found.SerializeToString()
    own = grid.card(name="two", classes=["red", "green"], parts=[detecting(grid, ("red", "green"))])
    own["golden"] = {"file": "golden.png", "scores": {"detector.onnx": [1.0, 0.2] + 8 * [0.0]}}
    make_bundle(own, {"detector.onnx": graph, "golden.png": grid.members["golden.png"]}).save(
        tmp_path / "two.millscale"
    )
    out = tmp_path / "joined.millscale"
    done = millscale("ensemble", tmp_path / "two.millscale", wise, "--out", out)
    assert done.code == 0, done.err
    card = open_bundle(out).card
    assert (card.classes, card.located, set(card.thresholds)) == (
        ("good", "green", "red"),
        ("green", "red"),
        {"red", "green"},
    )
    answer = inspected(millscale, out, image)
    assert [(box["label"], box["score"], box["xyxy"]) for box in answer["boxes"]] == [
        ("red", 0.8, [10, 20, 20, 30]), ("green", 0.6, [30, 0, 40, 10]),
    ]  # fmt: skip
    assert answer["verdict"] == inspected(millscale, wise, image)["verdict"]


def test_views_reach_every_detector(millscale, bundles, image, grid, tmp_path):
    """The one-eyed model sees the first cell only; upside down it sees the cell below, by half its views."""
    other = renamed(bundles.one_eyed, tmp_path / "other.millscale")
    image.write_bytes(grid.picture({(0, 3): (255, 0, 0)}))
    out = tmp_path / "joined.millscale"
    for views, boxes in (("1", []), ("2", [{"label": "red", "score": 0.5, "xyxy": [0, 30, 10, 40]}])):
        done = millscale("ensemble", bundles.one_eyed, other, "--out", out, "--views", views)
        assert done.code == 0, done.err
        assert {part.detection.views for part in open_bundle(out).card.parts} == {int(views)}
        assert inspected(millscale, out, image)["boxes"] == boxes


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, ""),
        (["DETECTOR"], 2, "two bundles or more to join, or one with --views, --tile or --data, found 1"),
        (["DETECTOR", "/nowhere/a.millscale"], 4, "Bundle /nowhere/a.millscale: expected a .millscale file"),
        (["DETECTOR", "BROKEN"], 4, "broken.millscale: expected a .millscale file written by `millscale train`"),
        (["CLASSIFIER", "COLOURED"], 2, "expected one classifier at most and 8 detectors, found 2 (colour, coloured)"),
        (["DETECTOR", "SHARPER", "DETECTOR"], 2, "Expected bundles that differ, found one twice"),
        (["DETECTOR", "OTHER"], 2, "detectors of the same classes, which a classifier beside them knows too"),
        (["CLASSIFIER", "OTHER"], 2, "found colour: red, green, blue; other: red, green, mauve"),
        (["DETECTOR", "--views", "8", "--weights", "2"], 2, "weights: expected detectors to weigh, found 1."),
        (["DETECTOR", "SHARPER", "--weights", "1"], 2, "a number above 0 for each of 2 detectors, found [1.0]"),
        (["DETECTOR", "SHARPER", "--weights", "1,0"], 2, "expected a number above 0 for each of 2 detectors"),
        (["DETECTOR", "SHARPER", "--weights", "1,-2"], 2, "expected a number above 0 for each of 2 detectors"),
        (["DETECTOR", "SHARPER", "--weights", "1;2"], 2, "--weights: expected numbers such as 1,2,1, found '1;2'"),
        (["DETECTOR", "SHARPER", "--weights", ""], 2, "--weights: expected numbers such as 1,2,1, found ''"),
        (["DETECTOR", "SHARPER", "--weights", "nan,1"], 2, "--weights: expected numbers such as 1,2,1, found 'nan,1'"),
        (["DETECTOR", "SHARPER", "--weights", "1,inf"], 2, "--weights: expected numbers such as 1,2,1, found '1,inf'"),
        (["DETECTOR", "SHARPER", "--views", "3"], 2, "--views: expected one of 1, 2, 4, 8, found 3"),
        (["DETECTOR", "--tile", "32"], 2, "tile: expected 0, for whole images, or 64 to 8192, found 32"),
        (["CLASSIFIER", "--tile", "64"], 2, "views, tile, data: expected a detector, found none"),
    ],
)  # fmt: skip
def test_a_wrong_call_has_its_message_and_code_and_writes_nothing(
    millscale, bundles, grid, sharper, tmp_path, words, code, message
):
    broken, out = tmp_path / "broken.millscale", tmp_path / "joined.millscale"
    broken.write_bytes(b"PK" + bundles.detector.read_bytes()[2:-50])
    other = make_bundle(grid.card(name="other", classes=COLOURS, parts=[detecting(grid, COLOURS)]), grid.members)
    places = {"DETECTOR": bundles.detector, "CLASSIFIER": bundles.classifier, "BROKEN": broken}
    places |= {"SHARPER": sharper, "COLOURED": renamed(bundles.classifier, tmp_path / "coloured.millscale")}
    places["OTHER"] = other.save(tmp_path / "other.millscale")
    done = millscale("ensemble", *(places.get(word, word) for word in words), "--out", out, "--json")
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert not out.exists()


def test_windows_beside_a_classifier_are_told_to_be_the_detectors_alone(millscale, bundles, tmp_path):
    for name, careful in (("both", True), ("detector", False)):
        done = millscale("ensemble", getattr(bundles, name), "--tile", 64, "--out", tmp_path / "out.millscale")
        assert done.code == 0, done.err
        assert ("the classifier, which decides, takes whole images" in done.err) == careful


def test_no_bundle_is_overwritten_by_what_it_becomes_part_of(millscale, bundles, sharper):
    before = sharper.read_bytes()
    done = millscale("ensemble", bundles.detector, sharper, "--out", sharper.parent / "." / sharper.name)
    assert (done.code, done.out) == (2, "")
    assert "expected a new file, found one of the bundles to join" in done.err
    assert sharper.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(millscale, bundles, sharper, image):
    done = millscale("ensemble", bundles.detector, sharper, "--out", image / "joined.millscale", "--json")
    assert (done.code, done.out) == (3, "")
    assert f"{image}: expected a file or folder that can be read and written" in done.err
