"""Train a network to classify, fold by fold, and hand back the final one with the evidence of how good it is.

For each fold held out, whole groups of the training part are set aside; on these, and never on the fold held
out, epochs are compared and the temperature is fitted.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from millscale.core.errors import DataError
from millscale.core.version import __version__
from millscale.data.split import deal
from millscale.imaging.preprocess import Preprocess
from millscale.learn.calibrate import calibrated, fit_temperature
from millscale.learn.heads import Moments, fit_logistic
from millscale.learn.openset import fit_guard, guarded, moments_of, unmeasured
from millscale.learn.recipe import Task, Trained
from millscale.metrics.predictions import Neighbours
from millscale.train.augment import augment, mixed, of_strength
from millscale.train.checkpoint import digest
from millscale.train.config import ClassifierConfig
from millscale.train.device import choose_device, choose_dtype, repeatable
from millscale.train.export import Normalise, export_classifier, require_parity
from millscale.train.loop import History, Job, LoopConfig, fit
from millscale.train.network import Classifier, NetworkSpec, build_network, freeze, network_spec
from millscale.train.pixels import Pixels, batch_preprocess, prepared_pixels

Rows = NDArray[np.int64]
NEIGHBOURS = 4
_HEAD_STRENGTH = 0.1
_LEAST_BIAS = -10.0
"""Logits of classes that the training part lacks start here: far, but not so far that the loss explodes."""
_CHUNK = 32


@dataclass(frozen=True)
class Start:
    """What is trained and how it begins.

    Attributes:
        network: a registered name.
        frozen: leading stages that keep their weights.
        head_first: fit the head on the features before the whole network is trained.
    """

    network: str
    frozen: int = 0
    head_first: bool = False


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one network learns from; the fields are those of `train.loop.Job`."""

    steps: int
    batches: Callable[[int], Iterable[Any]]
    loss: Callable[[nn.Module, nn.Module, Any], Tensor]


@dataclass(frozen=True, eq=False)
class Setup:
    """What all trainings of one call share."""

    task: Task
    config: ClassifierConfig
    start: Start
    lessons: "Lessons"
    spec: NetworkSpec
    preprocess: Preprocess
    pixels: Pixels
    targets: Rows
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained network and what it says of every image.

    Attributes:
        rows: the labelled images it was trained on, those set aside included.
        logits: ``(N, C)`` float64 before calibration.
        features: ``(N, d)`` float32.
        temperature: fitted on the images set aside; 1 where there are none.
    """

    model: Classifier
    rows: Rows
    logits: NDArray[np.float64]
    features: NDArray[np.float32]
    temperature: float
    history: History


Lessons = Callable[[Setup, Classifier, Rows, Rows, int], Lesson]
"""(setup, network, labelled rows, rows without label, seed) → what the network learns from."""


def from_labelled(setup: Setup, _model: Classifier, learned: Rows, _bare: Rows, seed: int) -> Lesson:
    """The usual lesson: augmented labelled images."""
    return Lesson(
        max(1, len(learned) // setup.config.batch),
        lambda epoch: _batches(setup, learned, seed, epoch),
        lambda network, _, batch: supervised_loss(setup, network(batch[0]), batch[1]),
    )


def train_classifier(task: Task, config: ClassifierConfig, start: Start, lessons: Lessons = from_labelled) -> Trained:
    """Judge a network on held-out folds, train the final one, and write it as a graph.

    Args:
        task: the labelled images with their folds.
        config: how to train.
        start: what to train.
        lessons: what each network learns from.

    Raises:
        DataError: an image cannot be decoded, or there are too few groups or classes.
        ModelError: weights are missing, training diverged, or the written graph differs from the network.
        UsageError: an option that does not fit the network or the machine.
    """
    setup = _set_up(task, config, start, lessons)
    n, classes = len(task.manifest), len(task.manifest.classes)
    probs = np.full((n, classes), np.nan)
    found = _Nearest(setup)
    judged: list[Fitted] = []
    distances = unmeasured(n, classes)
    for fold in range(_held_out(task, config)):
        fitted = _train(setup, task.training_rows(fold), f"fold {fold}")
        rows = np.flatnonzero(task.folds == fold)
        probs[rows] = calibrated(fitted.logits[rows], fitted.temperature)
        found.add(fitted, rows[probs[rows].argmax(1) != setup.targets[rows]])
        guard = fit_guard(_moments(setup, fitted))
        distances.relative[rows], distances.plain[rows] = guard.distances(fitted.features[rows])
        # Only the first can be needed again; the features of all would not fit into memory.
        judged.append(fitted if fold == 0 else replace(fitted, features=fitted.features[:0]))
    reused = config.final == "reuse"
    trained_on = task.training_rows(0 if reused else None)
    final = judged[0] if reused else _train(setup, trained_on, "final")
    reference = calibrated(final.logits, final.temperature)
    graph = _graph(setup, final)
    evidence = np.flatnonzero(~np.isnan(probs[:, 0]))
    parity = require_parity(graph, setup.pixels[evidence], reference[evidence])
    return Trained(
        probs=probs,
        graph=graph,
        preprocess=setup.preprocess,
        temperature=final.temperature,
        calibrated_on="images set aside in the training part" if config.validation else "nothing",
        details=_details(setup, judged, final, parity),
        licence_notes=f"{start.network}: {setup.spec.licence}.",
        reference=reference,
        trained_on=trained_on,
        nearest=found.neighbours(),
        guarded=guarded(_moments(setup, final), distances, setup.targets),
    )


def _moments(setup: Setup, fitted: Fitted) -> Moments:
    """Of the features that a network gives the images it was trained on."""
    return moments_of(fitted.features[fitted.rows], setup.targets[fitted.rows], len(setup.task.manifest.classes))


def _set_up(task: Task, config: ClassifierConfig, start: Start, lessons: Lessons) -> Setup:
    spec = network_spec(start.network)
    targets = task.targets
    known = targets[targets >= 0]
    found = len(np.unique(known))
    if found < 2:
        raise DataError(
            f"Expected images of at least two classes, found {found} in {len(known)} images. "
            "Add images of another class."
        )
    device = choose_device(config.device)
    dtype = choose_dtype(config.precision, device, dense=spec.dense)
    preprocess = batch_preprocess(task.manifest, config.size)
    pixels = prepared_pixels(task.manifest, preprocess, task.folder, task.progress)
    return Setup(task, config, start, lessons, spec, preprocess, pixels, targets, device, dtype)


def _held_out(task: Task, config: ClassifierConfig) -> int:
    count = int(task.folds.max()) + 1
    if count < 2:
        raise DataError(f"Expected at least 2 folds, found {count}. Ask for more folds.")
    return min(config.held_out_folds or count, count)


def _train(setup: Setup, rows: Rows, name: str) -> Fitted:
    """Train one network on ``rows``, some groups of which are set aside for its validation."""
    seed = int(np.random.SeedSequence([setup.task.seed, len(name), *name.encode()]).generate_state(1)[0])
    rows, bare = rows[setup.targets[rows] >= 0], rows[setup.targets[rows] < 0]
    learned, validated = _set_aside(setup, rows, seed) if setup.config.validation else (rows, rows[:0])
    groups = np.array([str(record.group) for record in setup.task.manifest.records])
    bare = bare[~np.isin(groups[bare], groups[validated])]  # what shares pixels with them teaches them
    model = _started(setup, learned, seed).to(setup.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    identity = _identity(setup, model, np.concatenate([learned, bare]), validated)
    lesson = setup.lessons(setup, model, learned, bare, seed)
    score = (lambda network: -_validation_loss(setup, network, validated)) if len(validated) else None
    job = Job(model, lesson.steps, lesson.batches, lesson.loss, score, identity)
    checkpoint = setup.task.folder / f"{name.replace(' ', '')}-{identity[:16]}.safetensors"
    history = fit(job, _loop_config(setup, seed), checkpoint, lambda d, n: setup.task.progress(name, d, n))
    # In float32 on the processor, as the bundle will compute.
    logits, features = _judge(setup, model.cpu(), np.arange(len(setup.pixels)))
    temperature = fit_temperature(logits[validated], setup.targets[validated]) if len(validated) else 1.0
    return Fitted(model, rows, logits, features, temperature, history)


def _set_aside(setup: Setup, rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """The rows to learn from and those to validate on; whole groups, classes balanced."""
    manifest, share = setup.task.manifest, setup.config.validation
    groups = {record.id: record.group or record.id for record in manifest.records}
    ids = [manifest.ids[row] for row in rows]
    part = deal(manifest.select(ids), groups, (1 - share, share), np.random.default_rng(seed))[1]
    chosen = np.array([name in part for name in ids])
    learned, validated = rows[~chosen], rows[chosen]
    if len(validated) == 0 or len(np.unique(setup.targets[learned])) < 2:
        raise DataError(
            f"Expected groups to learn two classes from and others to validate on, found "
            f"{len({groups[name] for name in ids})} groups in {len(ids)} training images. Add images of "
            "other pieces of metal."
        )
    return learned, validated


def _started(setup: Setup, learned: Rows, seed: int) -> Classifier:
    """The network as its training begins."""
    preprocess = setup.preprocess
    assert preprocess.size is not None  # noqa: S101 - batch_preprocess gives one
    model = build_network(setup.spec, len(setup.task.manifest.classes), preprocess.size, seed)
    freeze(model, setup.start.frozen)
    if setup.start.head_first:
        _fit_head(setup, model, learned)
    return model


def _fit_head(setup: Setup, model: Classifier, learned: Rows) -> None:
    """Standardise the features, and start with the logistic regression of the images to learn from."""
    _, features = _judge(setup, model, learned)
    centre, spread = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    spread = np.maximum(spread, 1e-3 * spread.max())
    standard = (features - centre) / spread
    head = fit_logistic(standard, setup.targets[learned], model.head.out_features, _HEAD_STRENGTH)
    with torch.no_grad():
        model.centre.copy_(torch.from_numpy(centre))
        model.spread.copy_(torch.from_numpy(spread))
        model.head.weight.copy_(torch.from_numpy(head.weight.T.copy()))
        model.head.bias.copy_(torch.from_numpy(np.maximum(head.bias, _LEAST_BIAS)))


def _batches(setup: Setup, learned: Rows, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented, normalised images ``(b, 3, h, w)`` and targets ``(b, C)``, in the order of this epoch."""
    rng = np.random.default_rng((seed, epoch))
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    changes, size = of_strength(setup.config.augment), min(setup.config.batch, len(learned))
    order = rng.permutation(learned)[: len(learned) // size * size]
    for rows in order.reshape(-1, size):
        images = torch.from_numpy(setup.pixels[rows]).to(setup.device).permute(0, 3, 1, 2).float() / 255
        targets = functional.one_hot(torch.from_numpy(setup.targets[rows]), len(setup.task.manifest.classes))
        images, soft = augment(images, changes, generator), targets.float().to(setup.device)
        if setup.config.mixup:
            images, soft = mixed(images, soft, setup.config.mixup, generator)
        yield normalised(images, setup.preprocess), soft


def normalised(images: Tensor, preprocess: Preprocess) -> Tensor:
    """``(b, 3, h, w)`` in [0, 1] as a network takes them."""
    mean, std = (images.new_tensor(v)[:, None, None] for v in (preprocess.mean, preprocess.std))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def supervised_loss(setup: Setup, logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy to targets ``(b, C)`` or ``(b,)``, smoothed."""
    return functional.cross_entropy(logits, targets, label_smoothing=setup.config.label_smoothing)


def _validation_loss(setup: Setup, network: nn.Module, validated: Rows) -> float:
    assert isinstance(network, Classifier)  # noqa: S101 - the loop hands back what it was given
    logits, _ = _judge(setup, network, validated)
    targets = torch.from_numpy(setup.targets[validated])
    return float(functional.cross_entropy(torch.from_numpy(logits), targets))


@torch.no_grad()
def _judge(setup: Setup, model: Classifier, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Logits ``(m, C)`` and features ``(m, d)`` of some images, in float32."""
    device = model.head.weight.device
    normalise, logits, features = Normalise(setup.preprocess).to(device), [], []
    model.eval()
    with repeatable(device):
        for start in range(0, len(rows), _CHUNK):
            images = torch.from_numpy(setup.pixels[rows[start : start + _CHUNK]]).to(device)
            features.append(model.features(normalise(images)))
            logits.append(model.head(features[-1]))
    return torch.cat(logits).double().cpu().numpy(), torch.cat(features).cpu().numpy()


def _loop_config(setup: Setup, seed: int) -> LoopConfig:
    config = setup.config
    return LoopConfig(
        epochs=config.epochs,
        rate=config.rate,
        warm_up=config.warm_up,
        weight_decay=config.weight_decay,
        ema=config.ema,
        clip=config.clip,
        patience=config.patience,
        dtype=str(setup.dtype).removeprefix("torch."),
        seed=seed,
    )


def _identity(setup: Setup, model: Classifier, learned: Rows, validated: Rows) -> str:
    """A digest of the data, the first weights and the options that decide one network: another is another training.

    How many folds are held out is not among them: a fold is not trained again when more are asked for.
    """
    options = asdict(setup.config)
    del options["held_out_folds"], options["final"]
    facts = [setup.task.manifest.fingerprint, options, asdict(setup.start)]
    facts += [setup.preprocess.to_json(), learned.tolist(), validated.tolist(), str(setup.device)]
    facts += [digest(model.state_dict()), __version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _graph(setup: Setup, final: Fitted) -> bytes:
    size = setup.preprocess.size
    assert size is not None  # noqa: S101 - batch_preprocess gives one
    return export_classifier(final.model, setup.preprocess, final.temperature, size, any_size=setup.spec.any_size)


class _Nearest:
    """Collects the nearest training images of the images that were predicted wrongly."""

    def __init__(self, setup: Setup) -> None:
        self._manifest = setup.task.manifest
        n = len(self._manifest)
        self._index = np.full((n, NEIGHBOURS), -1, np.int64)
        self._similarity = np.full((n, NEIGHBOURS), -np.inf)

    def add(self, fitted: Fitted, wrong: Rows) -> None:
        """Compare the features of ``wrong`` with those the network was trained on, by their cosine."""
        if len(wrong) == 0:
            return
        likeness = _unit(fitted.features[wrong]) @ _unit(fitted.features[fitted.rows]).T
        order = np.argsort(-likeness, axis=1, kind="stable")[:, :NEIGHBOURS]
        width = order.shape[1]
        self._index[wrong, :width] = fitted.rows[order]
        self._similarity[wrong, :width] = np.take_along_axis(likeness, order, 1)

    def neighbours(self) -> Neighbours:
        records = self._manifest.records
        paths, labels = tuple(r.path for r in records), tuple(r.label for r in records)
        return Neighbours(self._index, self._similarity, self._manifest.ids, paths, labels)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)


def _details(setup: Setup, judged: list[Fitted], final: Fitted, parity: float) -> dict[str, Any]:
    return {
        "config": asdict(setup.config),
        "network": {
            "name": setup.start.network,
            "description": setup.spec.description,
            "licence": setup.spec.licence,
            "parameters": sum(parameter.numel() for parameter in final.model.parameters()),
        },
        "device": setup.device.type,
        "precision": str(setup.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "parity": parity,
        "folds": [_summary(fitted) for fitted in judged],
        "final": _summary(final),
    }


def _summary(fitted: Fitted) -> dict[str, Any]:
    """Validation scores are mean log-probabilities of the truth."""
    history = fitted.history
    return {
        "temperature": fitted.temperature,
        "validation": list(history.scores),
        "best_epoch": history.best,
    }
