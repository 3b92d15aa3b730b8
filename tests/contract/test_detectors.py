"""What every detector must offer, whichever file it comes from."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from millscale.core import plugins  # noqa: E402
from millscale.imaging.preprocess import Preprocess  # noqa: E402
from millscale.runtime.backends.onnxruntime import Network  # noqa: E402
from millscale.train.detection import PACKAGE, PADDING, Targets, build_detector, detector_spec  # noqa: E402
from millscale.train.export import Normalise, export_detector  # noqa: E402

NAMES = plugins.names(PACKAGE)
SIZE, CLASSES = (64, 64), 3


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def spec(name):
    return detector_spec(name)


@pytest.fixture(scope="module")
def model(spec):
    return build_detector(spec, CLASSES, 0, pretrained=False)


def targets(*images: list[tuple[list[float], int, float]]) -> Targets:
    """(box, class, weight) of each image, padded."""
    most = max([len(image) for image in images] + [1])
    filled = [image + [([0.0] * 4, PADDING, 0.0)] * (most - len(image)) for image in images]
    boxes, classes, weights = ([[entry[k] for entry in image] for image in filled] for k in range(3))
    return Targets(torch.tensor(boxes, dtype=torch.float32), torch.tensor(classes), torch.tensor(weights))


BOX, OTHER = [8.0, 8.0, 40.0, 48.0], [30.0, 4.0, 60.0, 30.0]
BATCHES = {
    "one box": targets([(BOX, 0, 1.0)], [(OTHER, 2, 1.0)]),
    "padding": targets([(BOX, 0, 1.0), (OTHER, 1, 1.0)], [(OTHER, 2, 1.0)]),
    "background": targets([], []),
    "only regions to ignore": targets([(BOX, 0, 0.0)], [(OTHER, 1, 0.0)]),
    "a box in a region to ignore": targets([(BOX, 0, 1.0), ([0.0, 0.0, 64.0, 64.0], 1, 0.0)], [(OTHER, 1, 0.0)]),
}


def images(spec, count: int = 2) -> torch.Tensor:
    pixels = torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(v)[:, None, None] for v in (spec.mean, spec.std))
    return (pixels - mean) / std


def test_it_says_what_it_is(spec):
    assert spec.description
    assert spec.licence
    assert spec.size % spec.stride == 0


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_the_loss_is_a_finite_scalar_that_reaches_every_part(model, spec, batch):
    model.train().zero_grad()
    torch.manual_seed(0)
    loss = model.loss(images(spec), batch)
    assert loss.shape == ()
    assert bool(torch.isfinite(loss))
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients.values())


def test_steps_against_the_gradient_lower_the_loss(spec):
    model = build_detector(spec, CLASSES, 0, pretrained=False).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    given, batch, losses = images(spec), BATCHES["padding"], []
    for _ in range(12):
        torch.manual_seed(0)
        loss = model.loss(given, batch)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
    assert min(losses[-3:]) < 0.9 * losses[0]


def test_the_raw_answer_is_boxes_and_scores(model, spec):
    model.eval()
    with torch.no_grad():
        boxes, scores = model.raw(images(spec))
        again = model(images(spec))
    assert boxes.shape == (2, scores.shape[1], 4)
    assert scores.shape[2] == CLASSES
    assert boxes.dtype == scores.dtype == torch.float32
    assert bool(torch.isfinite(boxes).all())
    assert 0 <= float(scores.min()) <= float(scores.max()) <= 1
    assert bool((boxes[..., 2:] >= boxes[..., :2]).all())
    assert torch.equal(boxes, again[0])


def test_a_seed_builds_the_same_network(spec, model):
    again = build_detector(spec, CLASSES, 0, pretrained=False).state_dict()
    fresh = build_detector(spec, CLASSES, 0, pretrained=False).state_dict()
    assert all(torch.equal(again[name], fresh[name]) for name in again)


def test_the_exported_graph_answers_alike(spec):
    model = build_detector(spec, CLASSES, 0, pretrained=False).eval()
    preprocess = Preprocess("resize", SIZE, spec.mean, spec.std)
    network = Network(export_detector(model, preprocess, SIZE), "graph", threads=1)
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)
        boxes, scores = network.run({"images": pixels}, ["boxes", "scores"])
        with torch.no_grad():
            expected = model.raw(Normalise(preprocess)(torch.from_numpy(pixels)))
        np.testing.assert_allclose(boxes, expected[0].numpy(), atol=0.1)
        np.testing.assert_allclose(scores, expected[1].numpy(), atol=1e-3)
