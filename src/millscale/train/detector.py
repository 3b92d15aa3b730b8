"""Train a detector, fold by fold, and hand back the final one with the boxes it finds where it never looked.

Nothing is chosen on the fold held out: the rate falls to zero and the last weights, averaged, are kept.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from millscale.core.boxes import iou_matrix
from millscale.core.errors import DataError, UsageError
from millscale.core.types import Boxes
from millscale.imaging.decode import read_size
from millscale.imaging.preprocess import Geometry, Preprocess
from millscale.learn.recipe import Start, Task, TrainedDetector
from millscale.runtime.bundle import Bundle
from millscale.runtime.card import Detection
from millscale.runtime.detect import decode, shifted
from millscale.runtime.fusion import AGREE
from millscale.train.augment import augment, of_strength
from millscale.train.config import DetectorConfig
from millscale.train.detection import Detector, DetectorSpec, Targets, build_detector, detector_spec, multiply_adds
from millscale.train.device import choose_device, choose_dtype, repeatable
from millscale.train.export import Normalise, export_detector
from millscale.train.loop import Job, LoopConfig, fit
from millscale.train.pixels import grey_or_coloured, prepared_pixels
from millscale.train.recorded import RecordedLoss
from millscale.train.scenes import SceneConfig, Source, scenes
from millscale.train.start import PUBLIC, RANDOM, open_start, start_from, told_of
from millscale.train.unfold import unfold_batch_norm

Rows = NDArray[np.int64]
_CHUNK = 32
_SAME_BOX, _LEAST_PAIRS, _LARGEST_SHIFT = 0.5, 100, 4.0
"""IoU, boxes, and pixels: what tells of a shift, how many must, and what no longer would be one."""
_UNFOLDING = 256
"""Images from which batch norms take their statistics before training."""


@dataclass(frozen=True, eq=False)
class Setup:
    """What all trainings of one call share.

    Attributes:
        sizes: (height, width) of every original image; ``geometries``: where each lies in its tensor.
        start: holds the detector that all go on from; None where they start from public weights or at random.
    """

    task: Task
    config: DetectorConfig
    spec: DetectorSpec
    preprocess: Preprocess
    source: Source
    sizes: tuple[tuple[int, int], ...]
    geometries: tuple[Geometry, ...]
    device: torch.device
    dtype: torch.dtype
    start: Bundle | None = None


Learner = Callable[[Setup, int | None, str], tuple[Detector, dict[str, Any]]]
"""(setup, fold held out or None, name of the training) → the detector, and what is worth telling of it."""


def from_annotated(setup: Setup, fold: int | None, name: str) -> tuple[Detector, dict[str, Any]]:
    """The usual way: learn from the annotated images."""
    return train_on(setup, setup.task.training_rows(fold), name), {}


def train_detector(task: Task, config: DetectorConfig, learner: Learner = from_annotated) -> TrainedDetector:
    """Judge a detector on held-out folds, train the final one, and write it as a graph.

    Args:
        task: the annotated images with their folds; images without boxes are background.
        config: how to train.
        learner: trains one detector.

    Raises:
        DataError: an image cannot be decoded, or there are too few folds.
        ModelError: weights are missing, or training diverged.
        UsageError: an option that does not fit the detector or the machine.
    """
    setup = _set_up(task, config)
    judged: list[Boxes | None] = [None] * len(task.manifest)
    reference = list(judged)
    told: dict[str, Any] = {}
    first: tuple[Detector, tuple[float, float]] | None = None
    for fold in range(_held_out(task, config)):
        model, told[f"fold {fold}"] = learner(setup, fold, f"fold {fold}")
        shift = annotators_shift(setup, model, fold)
        _fill(judged, setup, model, np.flatnonzero(task.folds == fold), shift)
        first = first or (model, shift)
    if first and config.final == "reuse":
        final, shift = first
    else:
        final, told["final"] = learner(setup, None, "final")
        shift = annotators_shift(setup, final, None)
    _fill(reference, setup, final, np.flatnonzero(task.folds >= 0), shift)
    size = setup.preprocess.size
    assert size is not None  # noqa: S101 - _preprocess gives one
    return TrainedDetector(
        boxes=tuple(judged),
        graph=export_detector(final, setup.preprocess, size),
        preprocess=setup.preprocess,
        detection=Detection(agree=AGREE, shift=shift),
        details=_details(setup, final, size) | ({"learned": told} if any(told.values()) else {}),
        licence_notes=f"{config.detector}: {setup.spec.licence}.{_terms(setup.start)}",
        reference=tuple(reference),
        trained_on=task.training_rows(None if "final" in told else 0),
        start=Start(setup.start.card.name, setup.start.seen) if setup.start else None,
    )


def _terms(start: Bundle | None) -> str:
    return f" Went on from {start.card.name}: {start.card.licence_notes}" if start else ""


def _fill(boxes: list[Boxes | None], setup: Setup, model: Detector, rows: Rows, shift: tuple[float, float]) -> None:
    """Write what the model finds on ``rows`` to their places."""
    for row, found in zip(rows, locate(setup, model, rows), strict=True):
        boxes[row] = shifted(found, shift, setup.sizes[row])


def annotators_shift(setup: Setup, model: Detector, fold: int | None) -> tuple[float, float]:
    """How far (x, y) the boxes that the model finds lie right of and below those it learned from, in their pixels.

    Scenes are turned and flipped, so a model cannot learn that annotators draw every box half a pixel to the left, as
    where one tool counts pixels from 0 and another from 1. It is the median over the annotated boxes that the
    strongest found box of their class overlaps by half; (0, 0) where there are too few to tell.
    """
    rows = setup.task.training_rows(fold)
    rows = rows[setup.task.folds[rows] >= 0]
    moved = []
    for row, found in zip(rows, locate(setup, model, rows), strict=True):
        true = setup.task.manifest.records[row].boxes
        if true is None or not len(found):
            continue
        match = (iou_matrix(true.xyxy, found.xyxy) > _SAME_BOX) & (true.class_id[:, None] == found.class_id)
        paired = match.any(1)
        strongest = match.argmax(1)[paired]  # found boxes come the strongest first
        off = (found.xyxy[strongest] - true.xyxy[paired]).astype(np.float64)
        moved.append((off[:, :2] + off[:, 2:]) / 2)
    if sum(map(len, moved)) < _LEAST_PAIRS:
        return 0.0, 0.0
    x, y = np.median(np.concatenate(moved), 0).round(2).clip(-_LARGEST_SHIFT, _LARGEST_SHIFT).tolist()
    return x, y


def _set_up(task: Task, config: DetectorConfig) -> Setup:
    spec = detector_spec(config.detector)
    device = choose_device(config.device)
    preprocess = _preprocess(task, config, spec)
    own = config.start not in (PUBLIC, RANDOM)
    start = open_start(config.start, task, range(_held_out(task, config))) if own else None
    _build(task, config, preprocess, start, 0)  # weights that are missing or do not fit are told before the work
    pixels = grey_or_coloured(prepared_pixels(task.manifest, preprocess, task.folder, task.progress))
    sizes, geometries = [], []
    for record in task.manifest.records:
        width, height = read_size(record.path)
        sizes.append((height, width))
        geometries.append(preprocess.apply(np.zeros((height, width), np.uint8))[1])
    boxes = [
        _in_tensor(record.boxes, geometry) for record, geometry in zip(task.manifest.records, geometries, strict=True)
    ]
    dtype = choose_dtype(config.precision, device, dense=spec.dense)
    source = Source(pixels, boxes)
    return Setup(task, config, spec, preprocess, source, tuple(sizes), tuple(geometries), device, dtype, start)


def _preprocess(task: Task, config: DetectorConfig, spec: DetectorSpec) -> Preprocess:
    """All images at one size, whose sides are multiples of the detector's stride."""
    size = config.size or spec.size
    if size % spec.stride:
        raise UsageError(f"size: expected a multiple of {spec.stride} for {config.detector}, found {size}.")
    shapes = {read_size(record.path) for record in task.manifest.records}
    sides = {tuple(max(spec.stride, round(size * side / max(shape) / spec.stride) * spec.stride) for side in shape)
             for shape in shapes}  # fmt: skip
    same = len({round(w / h, 3) for w, h in shapes}) == 1
    width, height = sides.pop() if same else (size, size)
    return Preprocess("resize" if same else "letterbox", (height, width), spec.mean, spec.std)


def _in_tensor(boxes: Boxes | None, geometry: Geometry) -> Boxes:
    """Annotated boxes in pixels of the tensor; none where the image holds none."""
    if boxes is None:
        return Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    return Boxes(geometry.to_tensor(boxes.xyxy), boxes.class_id, boxes.score, boxes.difficult)


def _held_out(task: Task, config: DetectorConfig) -> int:
    count = int(task.folds.max()) + 1
    if count < 2:
        raise DataError(f"Expected at least 2 folds, found {count}. Ask for more folds.")
    return min(config.held_out_folds or count, task.judged or count)


def _build(task: Task, config: DetectorConfig, preprocess: Preprocess, start: Bundle | None, seed: int) -> Detector:
    """A detector to train, with its first weights."""
    assert preprocess.size is not None  # noqa: S101 - _preprocess gives one
    spec, classes, size = detector_spec(config.detector), task.manifest.classes, preprocess.size
    model = build_detector(spec, len(classes), size, seed, pretrained=config.start == PUBLIC)
    if start:
        start_from(start, model, config.detector, classes, size, seed)
    return model


def train_on(setup: Setup, rows: Rows, name: str, teacher: Detector | None = None) -> Detector:
    """Train one detector on ``rows``: from where a teacher of the same kind ended, or else as ``config`` says."""
    config = setup.config
    seed = int(np.random.SeedSequence([setup.task.seed, len(name), *name.encode()]).generate_state(1)[0])
    model = copy.deepcopy(teacher) or _build(setup.task, config, setup.preprocess, setup.start, seed)
    model.softness = config.softness
    model.to(setup.device).to(memory_format=torch.channels_last)
    batch = min(config.batch, len(rows))
    loop = LoopConfig(
        epochs=config.epochs,
        rate=config.rate or setup.spec.rate,
        warm_up=config.warm_up,
        weight_decay=config.weight_decay,
        ema=config.ema,
        clip=config.clip,
        dtype=str(setup.dtype).removeprefix("torch."),
        seed=seed,
    )
    if setup.spec.folded and teacher is None and config.start != RANDOM:
        with repeatable(setup.device):
            unfold_batch_norm(model, _plain(setup, np.random.default_rng(seed).permutation(rows)[:_UNFOLDING]))
    job = Job(
        model=model,
        steps=len(rows) // batch,
        batches=lambda epoch: _batches(setup, rows, batch, seed, epoch),
        loss=RecordedLoss(model) if model.recordable and setup.device.type == "cuda" else _loss,
        score=None,
        identity=_identity(setup, rows),
    )

    def tell(done: int, total: int) -> None:
        setup.task.progress(f"train {name}", done, total)

    fit(job, loop, setup.task.folder / f"{name.replace(' ', '-')}.safetensors", tell)
    return model


def _loss(network: nn.Module, _average: nn.Module, given: tuple[Tensor, Targets]) -> Tensor:
    assert isinstance(network, Detector)  # noqa: S101 - what `train_on` gives to the loop
    return network.loss(*given)


def _batches(setup: Setup, rows: Rows, batch: int, seed: int, epoch: int) -> Iterator[tuple[Tensor, Targets]]:
    """Scenes of an epoch with their boxes, normalised, in the order of this epoch."""
    config, spec = setup.config, setup.spec
    rng = np.random.default_rng((seed, epoch))
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    still = epoch >= round(config.epochs * (1 - config.still))
    made = SceneConfig(mosaic=0.0 if still else config.mosaic, paste=config.paste, zoom=config.zoom)
    changes = of_strength(config.augment, spatial=False)
    order = rng.permutation(rows)[: len(rows) // batch * batch]
    for chosen in order.reshape(-1, batch):
        images, targets = scenes(setup.source, chosen, _scene_size(setup, rng), made, rng)
        pixels = augment(images.to(setup.device).float() / 255, changes, generator)
        mean, std = (pixels.new_tensor(v)[:, None, None] for v in (spec.mean, spec.std))
        yield ((pixels - mean) / std).contiguous(memory_format=torch.channels_last), targets.to(setup.device)


def _scene_size(setup: Setup, rng: np.random.Generator) -> tuple[int, int]:
    size, stride = setup.preprocess.size, setup.spec.stride
    assert size is not None  # noqa: S101 - _preprocess gives one
    scale = np.exp(rng.uniform(-1, 1) * np.log1p(setup.config.multi_scale))
    height, width = (max(stride, round(side * scale / stride) * stride) for side in size)
    return height, width


def _plain(setup: Setup, rows: Rows) -> Iterator[Tensor]:
    """The images as they are, normalised."""
    normalise = Normalise(setup.preprocess).to(setup.device)
    for start in range(0, len(rows), _CHUNK):
        pixels = torch.from_numpy(setup.source.pixels[rows[start : start + _CHUNK]])
        yield normalise(pixels.to(setup.device)).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def locate(setup: Setup, model: Detector, rows: Rows) -> list[Boxes]:
    """What the model finds on some images, in pixels of the originals."""
    model.eval()
    found, detection = [], Detection(agree=AGREE)
    with repeatable(setup.device):
        for start, images in zip(range(0, len(rows), _CHUNK), _plain(setup, rows), strict=True):
            boxes, scores = (answer.cpu().numpy() for answer in model.raw(images))
            for row, one, score in zip(rows[start : start + _CHUNK], boxes, scores, strict=True):
                found.append(decode(one, score, detection, setup.geometries[row], setup.sizes[row]))
    return found


def _identity(setup: Setup, rows: Rows) -> str:
    """A digest of the data and the options that decide one detector: another one is another training."""
    options = asdict(setup.config)
    del options["held_out_folds"], options["final"]
    boxes = [[b.xyxy.tolist(), b.class_id.tolist()] for b in setup.source.boxes]
    if setup.start:
        options["start"] = sorted(setup.start.card.sha256.items())
    facts = [setup.task.manifest.fingerprint, options, setup.preprocess.to_json(), rows.tolist(), boxes]
    return hashlib.sha256(json.dumps([*facts, str(setup.device)]).encode()).hexdigest()


def _details(setup: Setup, final: Detector, size: tuple[int, int]) -> dict[str, Any]:
    start = setup.start
    return {
        "config": asdict(setup.config) | ({"start": start.card.name} if start else {}),
        **({"start": told_of(start)} if start else {}),
        "network": {
            "name": setup.config.detector,
            "description": setup.spec.description,
            "licence": setup.spec.licence,
            "parameters": sum(parameter.numel() for parameter in final.parameters()),
            "gflops": round(2e-9 * multiply_adds(final, size), 3),
        },
        "device": setup.device.type,
        "precision": str(setup.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
