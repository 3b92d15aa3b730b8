import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from millscale.core.errors import ModelError
from millscale.train.detection import PADDING, Detector, Targets, build_detector, detector_spec, multiply_adds
from millscale.train.detectors import _coco, _yolo
from millscale.train.detectors._assign import assign
from millscale.train.detectors._iou import complete_iou
from millscale.train.detectors._yolo import BINS, _boxes, _distance_loss, _points, _score_loss
from millscale.train.device import repeatable
from millscale.train.recorded import RecordedLoss, roomy


def test_points_are_the_centres_of_the_cells_fine_first():
    points, strides = _points(torch.zeros(1, 3, 32, 64))
    assert points.shape == (4 * 8 + 2 * 4 + 1 * 2, 2)
    assert points[0].tolist() == [4, 4]
    assert points[8].tolist() == [4, 12]
    assert points[-1].tolist() == [48, 16]
    assert strides[[0, 32, 40], 0].tolist() == [8, 16, 32]


def test_a_sharp_distribution_places_the_side_at_its_bin():
    distances = torch.full((1, 1, 4, BINS), -50.0)
    for side, bin_ in enumerate((1, 2, 3, 4)):
        distances[0, 0, side, bin_] = 50.0
    boxes = _boxes(distances.flatten(2), torch.tensor([[100.0, 100.0]]), torch.tensor([[8.0]]))
    torch.testing.assert_close(boxes, torch.tensor([[[92.0, 84.0, 124.0, 132.0]]]))


def test_distance_loss_is_least_at_the_two_bins_around_the_truth():
    # Distances 1.25, 1.25, 2.75, 2.75 strides from the centre.
    box, centre, stride = torch.tensor([[90.0, 90, 122, 122]]), torch.tensor([[100.0, 100.0]]), torch.tensor([[8.0]])
    best = torch.full((1, 4, BINS), -30.0)
    for side, true in enumerate((1.25, 1.25, 2.75, 2.75)):
        best[0, side, math.floor(true)] = math.log(1 - true % 1)
        best[0, side, math.floor(true) + 1] = math.log(true % 1)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    torch.testing.assert_close(_distance_loss(best.flatten(1), box, centre, stride, 0.0), torch.tensor([entropy]))
    uniform = _distance_loss(torch.zeros(1, 4 * BINS), box, centre, stride, 0.0)
    torch.testing.assert_close(uniform, torch.tensor([math.log(BINS)]))


def test_an_ambiguous_extent_is_learned_as_a_gaussian_about_the_truth():
    box, centre, stride = torch.tensor([[60.0, 60, 140, 140]]), torch.tensor([[100.0, 100.0]]), torch.tensor([[8.0]])
    away = 5.0 - torch.arange(BINS)
    matching = (-(away**2) / (2 * 1.0**2)).repeat(4)[None]  # a tenth of ten bins
    sharp = torch.where(away == 0, 30.0, -30.0).repeat(4)[None]
    likely, unlikely = (_distance_loss(d, box, centre, stride, 0.1) for d in (matching, sharp))
    p = matching.reshape(4, BINS).softmax(1)[0]
    torch.testing.assert_close(likely, -(p * p.log()).sum()[None])
    assert unlikely > 10 * likely


def test_each_side_is_as_ambiguous_as_the_box_is_long_that_way():
    box, centre, stride = torch.tensor([[60.0, 20, 140, 180]]), torch.tensor([[100.0, 100.0]]), torch.tensor([[16.0]])
    across, down = (torch.arange(BINS) - away for away in (2.5, 5.0))  # left and right, top and bottom, in bins
    matching = torch.stack([-(across**2) / 2, -(down**2) / 8] * 2)  # a fifth of five bins, and of ten
    p = matching.softmax(1)
    loss = _distance_loss(matching.flatten()[None], box, centre, stride, 0.2)
    torch.testing.assert_close(loss, -(p * p.log()).sum(1).mean()[None])


class Given(_yolo.Yolo):
    """Answers what it was given."""

    def __init__(self, logits, distances):
        nn.Module.__init__(self)
        self._given = logits, distances

    def _answers(self, images):
        return self._given


def test_the_loss_is_of_scores_boxes_and_distances_over_what_the_points_are_to_score():
    generator = torch.Generator().manual_seed(0)
    images, count = torch.zeros(1, 3, 32, 32), 16 + 4 + 1
    logits = torch.randn(1, count, 2, generator=generator)
    given = Targets(torch.tensor([[[2.0, 3, 30, 25], [16, 8, 32, 32]]]), torch.tensor([[1, 0]]), torch.ones(1, 2))
    points, strides = _points(images)
    first = torch.cat([points - given.boxes[0, 0, :2], given.boxes[0, 0, 2:] - points], 1) / strides
    about = -(first[..., None] - torch.arange(BINS)).square()  # the first box, nearly
    distances = (about + 0.5 * torch.randn(about.shape, generator=generator)).flatten(1)[None]
    boxes = _boxes(distances, points, strides)
    found = assign(points, boxes, logits.sigmoid(), given)
    assert 1 < found.positive.sum() < count
    at = found.positive[0]
    true, quality = given.boxes[0, found.box[0, at]], found.quality[0, at]
    assert quality.sum() > 1
    away = 7.5 * ((1 - complete_iou(boxes[0, at], true)) * quality).sum()
    apart = 1.5 * (_distance_loss(distances[0, at], true, points[at], strides[at], 0.1) * quality).sum()
    wanted = torch.zeros_like(logits[0])
    wanted[at, given.classes[0, found.box[0, at]]] = quality
    wrong = functional.binary_cross_entropy_with_logits(logits[0], wanted, reduction="sum")
    model = Given(logits, distances)
    model.softness = 0.1
    torch.testing.assert_close(model.loss(images, given), (wrong + away + apart) / quality.sum())


def test_score_loss_leaves_ignored_points_out():
    logits = torch.tensor([[[2.0, -1.0], [0.5, 0.5]]])
    targets = Targets(torch.zeros(1, 1, 4), torch.tensor([[1]]), torch.ones(1, 1))
    found = _yolo.Assignment(
        positive=torch.tensor([[True, False]]),
        box=torch.zeros(1, 2, dtype=torch.int64),
        quality=torch.tensor([[0.8, 0.0]]),
        ignored=torch.tensor([[False, True]]),
    )
    expected = functional.binary_cross_entropy_with_logits(logits[0, 0], torch.tensor([0.0, 0.8]), reduction="sum")
    torch.testing.assert_close(_score_loss(logits, targets, found), expected)


@pytest.mark.parametrize(("name", "largest"), [("yolo_n", 1.0), ("yolo_w", 4.0), ("yolo_s", 10.0)])
def test_the_family_keeps_its_sizes(name, largest):
    model = build_detector(detector_spec(name), 6, 0, pretrained=False)
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 <= largest


def test_multiply_adds_of_a_known_network_and_of_the_nano():
    class OneLayer(Detector):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 5, 3, stride=2, padding=1)

        def raw(self, images):
            return self.layer(images), images

    assert multiply_adds(OneLayer(), (8, 16)) == 4 * 8 * 5 * 27
    nano = build_detector(detector_spec("yolo_n"), 6, 0, pretrained=False)
    assert 0.3 < 2e-9 * multiply_adds(nano, (256, 256)) < 0.5


def test_the_wide_one_starts_as_the_nano_and_each_of_its_channels_learns_for_itself(monkeypatch):
    """With weights made up here, since the published ones are not everywhere."""
    nano, wide = (build_detector(detector_spec(name), 3, 0, pretrained=False) for name in ("yolo_n", "yolo_w"))
    generator = torch.Generator().manual_seed(1)
    for norm in (module for module in nano.double().modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5, generator)
        nn.init.normal_(norm.bias, generator=generator)
        norm.momentum = 1.0
    nano.train().neck(*nano.backbone(torch.rand(4, 3, 64, 96, dtype=torch.float64, generator=generator)))
    colours = nano.backbone.stem.conv.conv.weight.reshape(16, 4, 3, 3, 3).flip(2).reshape(16, 12, 3, 3)
    weights = nano.state_dict() | {"backbone.stem.conv.conv.weight": colours}
    monkeypatch.setattr(_coco, "read_weights", lambda _: {_published(name): t for name, t in weights.items()})
    _coco.load_coco(wide.double())
    images = torch.rand(2, 3, 64, 96, dtype=torch.float64, generator=generator)
    for one, other in zip(*(m.eval().neck(*m.backbone(images)) for m in (nano, wide)), strict=True):
        torch.testing.assert_close(other, one.repeat_interleave(2, 1), rtol=1e-2, atol=1e-2)
    box = Targets(torch.tensor([[[4.0, 8, 40, 30]]] * 2), torch.tensor([[1]] * 2), torch.ones(2, 1))
    wide, images = wide.float(), images.float()
    wide.train().loss(images, box).backward()
    gradient = wide.neck.C3_p3.conv3.conv.weight.grad
    assert gradient.abs().max() > 0
    assert not torch.allclose(gradient[::2], gradient[1::2], rtol=0.1)  # of the copies of a channel


def test_weights_of_another_network_are_refused(monkeypatch):
    nano = build_detector(detector_spec("yolo_n"), 3, 0, pretrained=False)
    weights = {_published(name): t for name, t in nano.state_dict().items()}
    for wrong in ({}, weights | {"backbone.backbone.dark2.0.pconv.conv.weight": torch.zeros(3, 3, 1, 1)}):
        monkeypatch.setattr(_coco, "read_weights", lambda _, wrong=wrong: wrong)
        with pytest.raises(ModelError, match="of this very network"):
            _coco.load_coco(nano)


def _published(name: str) -> str:
    """As the weights of YOLOX name it."""
    return (
        name.replace("neck.", "backbone.", 1)
        if name.startswith("neck.")
        else name.replace("backbone.", "backbone.backbone.", 1)
    )


def test_the_same_seed_builds_the_same_network():
    first, again = (build_detector(detector_spec("yolo_n"), 3, 7, pretrained=False) for _ in range(2))
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_only_background_gives_a_loss_that_lowers_scores():
    model = build_detector(detector_spec("yolo_n"), 3, 0, pretrained=False).train()
    nothing = Targets(torch.zeros(2, 1, 4), torch.full((2, 1), PADDING), torch.zeros(2, 1))
    model.loss(torch.rand(2, 3, 64, 64), nothing).backward()
    biases = [prediction.bias.grad for prediction in model.head.cls_preds]
    assert all(bool((gradient > 0).all()) for gradient in biases)


def test_places_for_boxes_that_are_not_there_change_nothing():
    model = build_detector(detector_spec("yolo_n"), 3, 0, pretrained=False).train()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[[4.0, 8, 40, 30]], [[20.0, 20, 60, 62]]])
    given = Targets(boxes, torch.tensor([[1], [2]]), torch.tensor([[1.0], [1.0]]))
    assert roomy(given).boxes.shape == (2, 8, 4)
    torch.testing.assert_close(model.loss(images, roomy(given)), model.loss(images, given))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_recorded_loss_is_the_loss_and_recording_leaves_no_trace():
    device = torch.device("cuda")
    plain, recorded = (
        build_detector(detector_spec("yolo_n"), 3, 0, pretrained=False).to(device).train() for _ in range(2)
    )
    loss = RecordedLoss(recorded)
    boxes = torch.tensor([[[4.0, 8, 40, 30]]] * 4)
    with repeatable(device):  # as in training: rounded to TF32, the two choose other points to learn from
        for seed in range(3):
            images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(seed)).to(device)
            given = Targets(boxes, torch.full((4, 1), seed), torch.ones(4, 1)).to(device)
            for model, found in (
                (plain, plain.loss(images, given)),
                (recorded, loss(recorded, recorded, (images, given))),
            ):
                model.zero_grad()
                found.backward()
            torch.testing.assert_close(list(recorded.buffers()), list(plain.buffers()), rtol=1e-3, atol=1e-3)
            gradients = [[p.grad for p in model.parameters()] for model in (recorded, plain)]
            torch.testing.assert_close(*gradients, rtol=1e-2, atol=1e-3)
