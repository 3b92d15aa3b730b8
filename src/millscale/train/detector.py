"""Train a detector, fold by fold, and hand back the final one with the boxes it finds where it never looked.

Nothing is chosen on the fold held out: the rate falls to zero and the last weights, averaged, are kept.
"""

import copy
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from millscale.core.boxes import iou_matrix
from millscale.core.errors import DataError, UsageError
from millscale.core.types import Boxes
from millscale.core.version import __version__
from millscale.imaging.decode import read_image, read_size
from millscale.imaging.preprocess import Geometry, Preprocess
from millscale.imaging.tiling import LEAST_TILE, Window, check_tile, windows_of
from millscale.learn.recipe import Start, Task, TrainedDetector, spread
from millscale.runtime.bundle import Bundle
from millscale.runtime.card import Detection, Views
from millscale.runtime.fusion import AGREE
from millscale.runtime.locate import Locator
from millscale.train.augment import augment, of_strength
from millscale.train.checkpoint import digest
from millscale.train.config import DetectorConfig
from millscale.train.detection import Detector, DetectorSpec, Targets, build_detector, detector_spec, multiply_adds
from millscale.train.device import choose_device, choose_dtype, repeatable
from millscale.train.export import Normalise, export_detector
from millscale.train.loop import Job, LoopConfig, fit
from millscale.train.pixels import grey_or_coloured, prepared_pixels
from millscale.train.recorded import RecordedLoss
from millscale.train.scenes import SceneConfig, Source, scenes, seen_in
from millscale.train.start import PUBLIC, RANDOM, open_start, start_from, told_of
from millscale.train.unfold import unfold_batch_norm

Rows = NDArray[np.int64]
_CHUNK = 32
_LOOKED_AT = 500
"""Images that tell of a shift."""
_SAME_BOX, _LEAST_PAIRS, _LARGEST_SHIFT = 0.5, 100, 4.0
"""IoU, boxes, and pixels: what tells of a shift, how many must, and what no longer would be one."""
_SMALL, _FEW_SMALL, _LARGEST = 8, 0.1, 640
"""Pixels, a cell of the finest grid; the share of smaller boxes that a size is to have, and the largest size taken for
it without being asked."""
_MANY_SMALL, _MUCH_LARGER = 0.2, 1.5
"""The share of small boxes from which windows are told of, and how much larger than the network's size an image must be
for them to help. NEU-DET has no box below 12."""
_LEAST_BATCH, _MOST_BATCH, _STEPS = 8, 32, 8
"""Images a step where nobody says how many, and the steps of an epoch that few images are to make."""
_UNFOLDING = 256
"""Images from which batch norms take their statistics before training."""


@dataclass(frozen=True, eq=False)
class Setup:
    """What all trainings of one call share.

    Attributes:
        source: the pictures that are learned from: images, or their windows.
        home: ``(P,)`` the image of each picture, a row of the manifest.
        start: holds the detector that all go on from; None where they start from public weights or at random.
    """

    task: Task
    config: DetectorConfig
    spec: DetectorSpec
    preprocess: Preprocess
    source: Source
    home: Rows
    device: torch.device
    dtype: torch.dtype
    start: Bundle | None = None

    def pictures(self, rows: Rows) -> Rows:
        """Rows of ``source``: the pictures of some images."""
        return np.flatnonzero(np.isin(self.home, rows))


Learner = Callable[[Setup, int | None, str], tuple[Detector, dict[str, Any]]]
"""(setup, fold held out or None, name of the training) → the detector, and what is worth telling of it."""


def from_annotated(setup: Setup, fold: int | None, name: str) -> tuple[Detector, dict[str, Any]]:
    """The usual way: learn from the annotated images."""
    return train_on(setup, setup.pictures(setup.task.training_rows(fold)), name), {}


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
    _fill(reference, setup, final, spread(np.flatnonzero(task.folds >= 0)), shift)
    size = setup.preprocess.size
    assert size is not None  # noqa: S101 - _preprocess gives one
    return TrainedDetector(
        boxes=tuple(judged),
        graph=export_detector(final, setup.preprocess, size),
        preprocess=setup.preprocess,
        detection=_detection(shift, config.views),
        details=_details(setup, final, size) | ({"learned": told} if any(told.values()) else {}),
        licence_notes=f"{config.detector}: {setup.spec.licence}.{_terms(setup.start)}",
        reference=tuple(reference),
        trained_on=task.training_rows(None if "final" in told else 0),
        tile=config.tile or None,
        start=Start(setup.start.card.name, setup.start.seen) if setup.start else None,
    )


def _terms(start: Bundle | None) -> str:
    return f" Went on from {start.card.name}: {start.card.licence_notes}" if start else ""


def _fill(boxes: list[Boxes | None], setup: Setup, model: Detector, rows: Rows, shift: tuple[float, float]) -> None:
    """Write what the model finds on ``rows`` to their places."""
    detection = _detection(shift, setup.config.views)
    for row, found in zip(rows, locate(setup, model, rows, detection), strict=True):
        boxes[row] = found


def _detection(shift: tuple[float, float] = (0.0, 0.0), views: Views = 1) -> Detection:
    return Detection(agree=AGREE, shift=shift, views=views)


def annotators_shift(setup: Setup, model: Detector, fold: int | None) -> tuple[float, float]:
    """How far (x, y) the boxes that the model finds lie right of and below those it learned from, in their pixels.

    Scenes are turned and flipped, so a model cannot learn that annotators draw every box half a pixel to the left, as
    where one tool counts pixels from 0 and another from 1. It is the median over the annotated boxes that the
    strongest found box of their class overlaps by half; (0, 0) where there are too few to tell.
    """
    rows = setup.task.training_rows(fold)
    rows = spread(rows[setup.task.folds[rows] >= 0], _LOOKED_AT)
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
    sizes = [read_size(record.path)[::-1] for record in task.manifest.records]
    preprocess = _preprocess(task, config, spec, sizes)
    own = config.start not in (PUBLIC, RANDOM)
    start = open_start(config.start, task, range(_held_out(task, config))) if own else None
    _build(task, config, start, 0)  # weights that are missing or do not fit are told before the work
    pixels = prepared_pixels(task.manifest, preprocess, task.folder, task.progress, config.tile)
    home, boxes = [], []
    seen = [(config.tile, config.tile) if config.tile else size for size in sizes]
    geometries = {size: preprocess.apply(np.zeros(size, np.uint8))[1] for size in dict.fromkeys(seen)}
    for row, (record, size) in enumerate(zip(task.manifest.records, sizes, strict=True)):
        windows = windows_of(size, config.tile or max(size))
        home += [row] * len(windows)
        boxes += [_in_tensor(record.boxes, window, geometries[seen[row]], pixels.shape[1:3]) for window in windows]
    dtype = choose_dtype(config.precision, device, dense=spec.dense)
    source = Source(grey_or_coloured(pixels), boxes)
    _tell_of_small(task, config, spec, source, max(map(max, sizes)))
    return Setup(task, config, spec, preprocess, source, np.array(home, np.int64), device, dtype, start)


def _tell_of_small(task: Task, config: DetectorConfig, spec: DetectorSpec, source: Source, longest: int) -> None:
    """Say before the work that many boxes are too small to be found, where windows would show them larger."""
    sides = np.concatenate([_sides(boxes) for boxes in source.boxes])
    share, size = float((sides < _SMALL).mean()), max(source.pixels.shape[1:3])
    if share > _MANY_SMALL and longest >= _MUCH_LARGER * size and size >= LEAST_TILE and not config.tile:
        told = f"ahead: at size={size}, {share:.0%} of the boxes are less than {_SMALL} pixels wide or high"
        task.progress(f"{told}; --set tile={config.size or spec.size} would show them as they are", 1, 1)


def _preprocess(task: Task, config: DetectorConfig, spec: DetectorSpec, sizes: Sequence[tuple[int, int]]) -> Preprocess:
    """All images, of (height, width) ``sizes``, at one size, whose sides are multiples of the detector's stride."""
    size = config.size or (spec.size if config.tile else _size(task, spec, sizes))
    if size % spec.stride:
        raise UsageError(f"size: expected a multiple of {spec.stride} for {config.detector}, found {size}.")
    check_tile(config.tile, size)
    if config.tile:
        return Preprocess("resize", (size, size), spec.mean, spec.std)
    shapes = set(sizes)
    sides = {tuple(max(spec.stride, round(size * side / max(shape) / spec.stride) * spec.stride) for side in shape)
             for shape in shapes}  # fmt: skip
    same = len({round(w / h, 3) for h, w in shapes}) == 1
    height, width = sides.pop() if same else (size, size)
    return Preprocess("resize" if same else "letterbox", (height, width), spec.mean, spec.std)


def _size(task: Task, spec: DetectorSpec, sizes: Sequence[tuple[int, int]]) -> int:
    """The detector's own size, or as much more as most boxes need to be seen that are learned from without fold 0.

    One for all folds, which is all that those boxes decide.
    """
    learned = [(task.manifest.records[row].boxes, max(sizes[row])) for row in task.training_rows(0)]
    shares = [_sides(boxes) / longest for boxes, longest in learned if boxes is not None and len(boxes)]
    if not shares:
        return spec.size
    needed = _SMALL / max(float(np.quantile(np.concatenate(shares), _FEW_SMALL)), 1e-6)
    size = max(spec.size, min(math.ceil(needed / spec.stride) * spec.stride, _LARGEST))
    if size > spec.size:
        told = f"ahead: size {size}, because at {spec.size} many boxes are less than {_SMALL} pixels wide or high"
        task.progress(f"{told}; --set size={spec.size} takes {(spec.size / size) ** 2:.0%} of the time", 1, 1)
    return size


def _sides(boxes: Boxes) -> NDArray[np.float32]:
    """The shorter side of each box."""
    return np.asarray((boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).min(1))


def _in_tensor(boxes: Boxes | None, window: Window, geometry: Geometry, size: tuple[int, int]) -> Boxes:
    """Annotated boxes of an image in pixels of the tensor that shows a window of it."""
    if boxes is None:
        return Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    xyxy = boxes.xyxy - np.array([*window[:2], *window[:2]], np.float32)
    return seen_in(Boxes(geometry.to_tensor(xyxy), boxes.class_id, difficult=boxes.difficult), size)


def _held_out(task: Task, config: DetectorConfig) -> int:
    count = int(task.folds.max()) + 1
    if count < 2:
        raise DataError(f"Expected at least 2 folds, found {count}. Ask for more folds.")
    return min(config.held_out_folds or count, task.judged or count)


def _build(task: Task, config: DetectorConfig, start: Bundle | None, seed: int) -> Detector:
    """A detector to train, with its first weights."""
    spec, classes = detector_spec(config.detector), task.manifest.classes
    model = build_detector(spec, len(classes), seed, pretrained=config.start == PUBLIC)
    if start:
        start_from(start, model, config.detector, classes, seed)
    return model


def train_on(setup: Setup, rows: Rows, name: str, teacher: Detector | None = None) -> Detector:
    """Train one detector on pictures: from where a teacher of the same kind ended, or else as ``config`` says."""
    config = setup.config
    seed = int(np.random.SeedSequence([setup.task.seed, len(name), *name.encode()]).generate_state(1)[0])
    model = copy.deepcopy(teacher) or _build(setup.task, config, setup.start, seed)
    model.softness = config.softness
    model.to(setup.device).to(memory_format=torch.channels_last)
    count = len(passed(setup, rows, np.random.default_rng(seed)))
    batch = images_a_step(config.batch, count)
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
        steps=count // batch,
        batches=lambda epoch: _batches(setup, rows, batch, seed, epoch),
        loss=RecordedLoss(model) if model.recordable and setup.device.type == "cuda" else _loss,
        score=None,
        identity=_identity(setup, model, rows),
    )

    def tell(done: int, total: int) -> None:
        setup.task.progress(f"train {name}", done, total)

    fit(job, loop, setup.task.folder / f"{name.replace(' ', '-')}.safetensors", tell)
    return model


def images_a_step(asked: int, count: int) -> int:
    """How many of ``count`` pictures a step learns from, where ``asked`` (0 for none) is wished for.

    A detector learns by its steps: few images in large batches are too few of them.
    """
    return min(asked or min(max(count // _STEPS, _LEAST_BATCH), _MOST_BATCH), count)


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
    order = passed(setup, rows, rng)
    for chosen in order[: len(order) // batch * batch].reshape(-1, batch):
        images, targets = scenes(setup.source, chosen, _scene_size(setup, rng), made, rng)
        pixels = augment(images.to(setup.device).float() / 255, changes, generator)
        mean, std = (pixels.new_tensor(v)[:, None, None] for v in (spec.mean, spec.std))
        yield ((pixels - mean) / std).contiguous(memory_format=torch.channels_last), targets.to(setup.device)


def passed(setup: Setup, rows: Rows, rng: np.random.Generator) -> Rows:
    """The pictures of an epoch, in their order: all of them; of windows, at most as many without a box as with one."""
    if not setup.config.tile:
        return rng.permutation(rows)
    shows = np.array([len(setup.source.boxes[row]) > 0 for row in rows])
    empty = rng.permutation(rows[~shows])[: max(1, shows.sum())]
    return rng.permutation(np.concatenate([rows[shows], empty]))


def _scene_size(setup: Setup, rng: np.random.Generator) -> tuple[int, int]:
    size, stride = setup.preprocess.size, setup.spec.stride
    assert size is not None  # noqa: S101 - _preprocess gives one
    scale = np.exp(rng.uniform(-1, 1) * np.log1p(setup.config.multi_scale))
    height, width = (max(stride, round(side * scale / stride) * stride) for side in size)
    return height, width


def _plain(setup: Setup, rows: Rows) -> Iterator[Tensor]:
    """Pictures as they are, normalised."""
    normalise = Normalise(setup.preprocess).to(setup.device)
    for start in range(0, len(rows), _CHUNK):
        pixels = torch.from_numpy(setup.source.pixels[rows[start : start + _CHUNK]])
        yield normalise(pixels.to(setup.device)).contiguous(memory_format=torch.channels_last)


class _Network:
    """A detector in training, as the runtime runs networks."""

    name, inputs, outputs = "detector", ["images"], ["boxes", "scores"]

    def __init__(self, setup: Setup, model: Detector) -> None:
        self._model, self._device = model.eval(), setup.device
        self._normalise = Normalise(setup.preprocess).to(setup.device)

    @torch.no_grad()
    def run(
        self, feeds: Mapping[str, NDArray[np.generic]], _outputs: Sequence[str] | None = None
    ) -> list[NDArray[np.float32]]:
        images = self._normalise(torch.from_numpy(feeds["images"]).to(self._device))
        with repeatable(self._device):
            answers = self._model.raw(images.contiguous(memory_format=torch.channels_last))
        return [answer.cpu().numpy() for answer in answers]


def locate(setup: Setup, model: Detector, rows: Rows, detection: Detection | None = None) -> Iterator[Boxes]:
    """What the model finds on some images, in pixels of the originals, as the runtime would; by default in one view."""
    records, classes = setup.task.manifest.records, setup.task.manifest.classes
    network, tile = _Network(setup, model), setup.config.tile or None
    locator = Locator(network, setup.preprocess, detection or _detection(), range(len(classes)), tile)
    return (locator.locate(read_image(records[row].path)) for row in rows)


def _identity(setup: Setup, model: Detector, rows: Rows) -> str:
    """A digest of the data, the first weights and the options that decide one detector: another is another training."""
    options = asdict(setup.config)
    del options["held_out_folds"], options["final"], options["views"]
    boxes = [[b.xyxy.tolist(), b.class_id.tolist()] for b in setup.source.boxes]
    if setup.start:
        options["start"] = sorted(setup.start.card.sha256.items())
    facts = [setup.task.manifest.fingerprint, options, setup.preprocess.to_json(), rows.tolist(), boxes]
    facts += [digest(model.state_dict()), __version__]
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
