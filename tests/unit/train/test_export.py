import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from millscale.core.errors import ModelError  # noqa: E402
from millscale.imaging.preprocess import Preprocess  # noqa: E402
from millscale.runtime.backends.onnxruntime import Network  # noqa: E402
from millscale.train.export import Normalise, export_classifier, require_parity  # noqa: E402
from millscale.train.network import Classifier, PooledStages, build_network, network_spec  # noqa: E402

PREPROCESS = Preprocess("resize", (16, 16), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stages = [
            nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU6()),
            nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU()),
        ]
        network = Classifier(PooledStages(stages, (0, 1)), 20, 3, dropout=0.5)
        nn.init.normal_(network.head.weight, std=3)
    network.centre += 0.5
    network.spread *= 2
    return network


def answers(model: Classifier, images, temperature: float):
    """Probabilities and features, from the definition."""
    normal = (images / 255 - np.array(PREPROCESS.mean)) / np.array(PREPROCESS.std)
    with torch.no_grad():
        features = model.eval().features(torch.tensor(normal.transpose(0, 3, 1, 2), dtype=torch.float32))
        logits = model.head(features).double().numpy() / temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True), features.numpy()


def test_pixels_are_normalised_as_the_preprocessing_says():
    found = Normalise(PREPROCESS)(torch.from_numpy(IMAGES)).numpy()
    expected = (IMAGES / 255 - np.array(PREPROCESS.mean)) / np.array(PREPROCESS.std)
    assert_allclose(found, expected.transpose(0, 3, 1, 2), atol=1e-5)


def test_the_graph_gives_calibrated_probabilities_and_features_at_any_size(model):
    graph = export_classifier(model.train(), PREPROCESS, 1.7, (16, 16), any_size=True)
    assert model.training
    network = Network(graph, "graph", threads=1)
    assert (network.inputs, network.outputs) == (["images"], ["probs", "features"])
    for images in (IMAGES, IMAGES[:1, :12, :15]):
        probs, features = network.run({"images": images})
        expected_probs, expected_features = answers(model, images, 1.7)
        assert_allclose(probs, expected_probs, atol=1e-5)
        assert_allclose(features, expected_features, atol=1e-4)


def test_the_graph_declares_its_contract_and_nothing_of_the_machine(model):
    graph = export_classifier(model, PREPROCESS, 1.0, (16, 16), any_size=True)
    assert graph == export_classifier(model, PREPROCESS, 1.0, (16, 16), any_size=True)
    found = onnx.load_model_from_string(graph)
    assert [entry.version for entry in found.opset_import] == [17]
    values = [*found.graph.input, *found.graph.output]
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    assert shapes == {"images": ["n", "h", "w", 3], "probs": ["n", 3], "features": ["n", 20]}
    assert b".py" not in graph


def test_a_network_of_one_size_says_so():
    small = build_network(network_spec("small_cnn"), 2, (32, 32), seed=0)
    graph = export_classifier(small, Preprocess("resize", (32, 32)), 1.0, (32, 32), any_size=False)
    shape = onnx.load_model_from_string(graph).graph.input[0].type.tensor_type.shape
    assert [d.dim_param or d.dim_value for d in shape.dim] == ["n", 32, 32, 3]


def test_an_operator_outside_the_allow_list_is_refused(model):
    class Odd(nn.Module):
        def forward(self, images):
            return torch.erf(images).mean((2, 3))

    with pytest.raises(ModelError, match="operator 'Erf' is not on the allow-list"):
        export_classifier(Classifier(Odd(), 3, 2), PREPROCESS, 1.0, (16, 16), any_size=True)


def test_parity_is_measured_over_all_images(model):
    graph = export_classifier(model, PREPROCESS, 1.0, (16, 16), any_size=True)
    expected, _ = answers(model, np.tile(IMAGES, (8, 1, 1, 1)), 1.0)
    images = np.tile(IMAGES, (8, 1, 1, 1))
    assert require_parity(graph, images, expected) < 1e-5
    shifted = expected.copy()
    shifted[37] += [9e-5, -9e-5, 0]
    assert 8e-5 < require_parity(graph, images, shifted) < 1e-4


@pytest.mark.parametrize(("change", "message"), [(2e-4, "differences up to 0.0002 and 0 of 5"), (np.nan, "nan")])
def test_a_difference_stops_the_export(model, change, message):
    graph = export_classifier(model, PREPROCESS, 1.0, (16, 16), any_size=True)
    expected, _ = answers(model, IMAGES, 1.0)
    expected[4, 0] += change
    with pytest.raises(ModelError, match=message):
        require_parity(graph, IMAGES, expected)


def test_a_changed_decision_stops_the_export(model):
    graph = export_classifier(model, PREPROCESS, 1e6, (16, 16), any_size=True)
    expected, _ = answers(model, IMAGES, 1e6)
    with pytest.raises(ModelError, match="5 of 5 decisions changed"):
        require_parity(graph, IMAGES, np.roll(expected, 1, axis=1))
