import numpy as np
import pytest
from onnx import helper, numpy_helper

from millscale.core.errors import DataError, ModelError, UsageError
from millscale.core.types import Prediction
from millscale.runtime.card import Costs
from millscale.runtime.inspector import Inspector


@pytest.fixture
def inspector(colours):
    return Inspector(colours.bundle())


@pytest.mark.parametrize(
    ("rgb", "probs", "score"),
    [
        ((255, 0, 0), [0.57611688, 0.21194156, 0.21194156], 0.78805844),
        ((0, 255, 0), [0.21194156, 0.57611688, 0.21194156], 0.42388312),
        ((51, 51, 51), [1 / 3, 1 / 3, 1 / 3], 2 / 3),
    ],
)
def test_probabilities_and_score_are_those_worked_out_by_hand(inspector, colours, rgb, probs, score):
    found = inspector.inspect(colours.picture(*rgb))
    np.testing.assert_allclose(found.probs, probs, atol=1e-6)
    assert found.score == pytest.approx(score, abs=1e-6)  # all that is not green


def test_bytes_files_and_arrays_give_one_answer(inspector, colours, tmp_path):
    data = colours.picture(10, 200, 30)
    (tmp_path / "a.png").write_bytes(data)
    array = np.full((40, 40, 3), (10, 200, 30), np.uint8)
    answers = [inspector.inspect(source).probs for source in (data, tmp_path / "a.png", str(tmp_path / "a.png"), array)]
    assert all((answer == answers[0]).all() for answer in answers)


def test_a_grey_array_counts_as_three_equal_channels(inspector):
    np.testing.assert_allclose(inspector.inspect(np.full((9, 5), 80, np.uint8)).probs, [1 / 3] * 3, atol=1e-6)


def test_an_array_that_is_no_picture_is_refused(inspector):
    with pytest.raises(UsageError, match=r"expected \(H, W, 3\) RGB or \(H, W\) grey, uint8"):
        inspector.inspect(np.zeros((4, 4, 3), np.float32))


def test_the_bundle_decides_at_its_own_costs_or_at_others(inspector):
    prediction = Prediction(0.05, np.array([0.03, 0.95, 0.02], np.float32))
    assert inspector.decide(prediction).outcome == "review"  # pass costs .5, review .2
    assert inspector.decide(prediction, Costs(escape=1)).outcome == "pass"  # pass costs .05


@pytest.mark.parametrize(
    ("probs", "limit", "expected"),
    [
        ([0.1, 0.6, 0.3], {"0.05": 0.75}, ("green", "blue")),
        ([0.1, 0.6, 0.3], {"0.05": 0.2}, ("green",)),
        ([0.5, 0.5, 0.0], {"0.05": 1.0}, ("red", "green", "blue")),
        ([0.1, 0.6, 0.3], {}, None),
    ],
)
def test_plausible_classes(colours, probs, limit, expected):
    inspector = Inspector(colours.bundle(colours.card(conformal=limit)))
    assert inspector.plausible(Prediction(0.5, np.array(probs, np.float32))) == expected
    assert inspector.plausible(Prediction(0.5)) is None


def test_a_prediction_without_probabilities_has_no_verdict(inspector):
    with pytest.raises(ModelError, match="Expected a prediction with class probabilities"):
        inspector.decide(Prediction(0.5))


@pytest.mark.parametrize(
    ("level", "limits", "reason"),
    [
        (0, None, "image fault: black frame (highlights 0, expected 9 to 255); check lamp and exposure"),
        (90, {}, "image fault: blank frame (contrast 0, expected 2 to 255); check that metal is in view"),
        (90, {"contrast": (0.0, 255.0), "noise": (0.0, 1.0)}, None),
        (90, {"size": (60.0, 200.0)}, "image fault: small frame (size 50, expected 60 to 200); check camera and crop"),
    ],
)
def test_a_fault_of_the_imaging_comes_before_every_verdict(colours, level, limits, reason):
    inspector = Inspector(colours.bundle(colours.card(quality=limits)))
    found = inspector.inspect(np.full((50, 50), level, np.uint8))
    for costs in (None, Costs(review=100)):
        verdict = inspector.decide(found, costs)
        assert (verdict.label == "image fault") == (reason is not None)
        assert reason is None or (verdict.outcome, verdict.reason) == ("review", reason)
    np.testing.assert_allclose(found.probs, [1 / 3] * 3, atol=1e-6)  # the networks' answer is still there


@pytest.mark.parametrize("workers", [1, 3])
def test_files_come_back_in_order_with_their_errors(inspector, colours, tmp_path, workers):
    paths = []
    for i in range(30):
        paths.append(tmp_path / f"{i}.png")
        paths[-1].write_bytes(b"no picture" if i in (4, 29) else colours.picture(8 * i, 0, 0))
    found = list(inspector.inspect_files(iter(paths), workers=workers))
    assert [entry.path for entry in found] == paths
    assert [i for i, entry in enumerate(found) if entry.error] == [4, 29]
    for entry in found:
        assert (entry.prediction is None) == (entry.verdict is None) == (entry.error is not None)
        assert entry.milliseconds > 0
    assert isinstance(found[4].error, DataError)
    red = [entry.prediction.probs[0] for entry in found if entry.prediction]
    assert red == sorted(red)
    assert red[0] == pytest.approx(1 / 3, abs=1e-6)


def test_endless_input_is_read_a_little_ahead(inspector, colours, tmp_path):
    (tmp_path / "a.png").write_bytes(colours.picture())
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield tmp_path / "a.png"

    results = inspector.inspect_files(endless(), workers=2)
    next(results)
    assert len(taken) <= 9
    results.close()


def test_opening_runs_the_golden_picture(colours, tmp_path):
    path = colours.bundle().save(tmp_path / "a.millscale")
    assert Inspector.open(path).card.name == "colours"


@pytest.mark.parametrize("probs", [[0.579, 0.2105, 0.2105], [0.2, 0.6, 0.2]])
def test_another_answer_on_the_golden_picture_is_refused(colours, tmp_path, probs):
    card = colours.card(golden={"file": "golden.png", "probs": probs})
    path = colours.bundle(card).save(tmp_path / "a.millscale")
    with pytest.raises(ModelError, match="on its golden image this machine gives"):
        Inspector.open(path)


def test_a_network_that_answers_nan_is_refused(colours, tmp_path):
    path = colours.bundle(model=colours.model(scale=np.nan)).save(tmp_path / "a.millscale")
    with pytest.raises(ModelError, match=r"golden image cannot be inspected: (?s:.)*finite"):
        Inspector.open(path)


def test_an_image_on_which_the_network_answers_nan_never_passes(colours):
    # 0 · inf is NaN: black pictures break this network, white ones do not.
    nodes = colours.nodes()
    model = colours.model(nodes, scale=np.inf)
    inspector = Inspector(colours.bundle(model=model))
    with pytest.raises(ModelError, match="finite"):
        inspector.decide(inspector.inspect(colours.picture(0, 0, 0)))


def test_a_golden_picture_that_is_none_is_refused(colours, tmp_path):
    path = colours.bundle(**{"golden.png": b"no picture"}).save(tmp_path / "a.millscale")
    with pytest.raises(ModelError, match=r"golden image cannot be inspected: .*expected a BMP"):
        Inspector.open(path)


def test_a_network_with_other_outputs_is_refused(colours):
    nodes = colours.nodes()
    nodes[3].output[0] = "scores"
    with pytest.raises(ModelError, match="expected input images and output probs, found"):
        Inspector(colours.bundle(model=colours.model(nodes, output="scores")))


def test_a_network_of_other_classes_is_refused(colours, tmp_path):
    card = colours.card(classes=["red", "other"], good_classes=[], golden={"file": "golden.png", "probs": [0.6, 0.4]})
    path = colours.bundle(card).save(tmp_path / "a.millscale")
    with pytest.raises(ModelError, match="expected 2 finite probabilities"):
        Inspector.open(path)


def test_a_network_that_onnx_runtime_cannot_load_is_a_model_error(colours):
    nodes = colours.nodes()
    nodes[2].input[0] = "nowhere"
    with pytest.raises(ModelError, match=r"classifier\.onnx: ONNX Runtime cannot load this network"):
        Inspector(colours.bundle(model=colours.model(nodes)))


def test_a_network_that_fails_while_running_is_a_model_error(colours):
    nodes = [helper.make_node("Reshape", ["images", "shape"], ["flat"]), *colours.nodes()]
    nodes[1].input[0] = "flat"
    model = colours.model(nodes)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2, 2, 3]), "shape"))
    inspector = Inspector(colours.bundle(model=model))
    assert inspector.inspect(np.zeros((2, 2, 3), np.uint8)).probs.shape == (3,)
    with pytest.raises(ModelError, match=r"ONNX Runtime fails on inputs of \{'images': \(1, 5, 5, 3\)\}"):
        inspector.inspect(np.zeros((5, 5, 3), np.uint8))


def test_the_answer_of_an_image_is_the_same_in_company(inspector, colours, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(9)]
    for i, path in enumerate(paths):
        path.write_bytes(colours.picture(20 * i, 7 * i, 255 - 20 * i))
    together = [found.prediction.probs for found in inspector.inspect_files(paths, workers=4)]
    assert all((inspector.inspect(path).probs == probs).all() for path, probs in zip(paths, together, strict=True))
