"""Distil the packaged backbone: teach a small network what larger ones say of unlabelled metal surfaces.

Three losses on one set of views. The student's maps, each through a 1×1 convolution, regress the maps of the
first teacher (Romero et al., FitNets, ICLR 2015). Its pooled statistics, through one linear layer, regress
those of all teachers: what a linear head can read off the teachers it can then read off the student. And the
similarities of the views to each other are to be those that the teachers see (Tung and Mori, ICCV 2019).

Equal configuration, data and machine give an equal file; an interrupted run goes on from its last epoch.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from millscale.core.errors import DataError, UsageError
from millscale.core.files import whole
from millscale.train.student import Student, StudentConfig, brightness
from millscale.train.targets import Targets

Report = Callable[[str], None]
"""Is told what happens, one line at a time."""

_HELD_OUT = 0.04
"""Share of the views, the last ones, on which losses are measured and nothing is learned."""
_FLOOR = 1e-3


@dataclass(frozen=True)
class DistilConfig:
    """The recipe.

    Attributes:
        epochs: passes over the views.
        batch: views a step.
        rate: highest learning rate, reached after ``warm_up`` steps, then a cosine down to zero.
        warm_up: steps.
        decay: weight decay of AdamW.
        map_weight: of the maps' loss, one number a map.
        pooled_weight: of the pooled statistics' loss.
        relation_weight: of the similarities' loss.
        components: principal components of the teachers' pooled statistics that are kept.
        whitening: 0 keeps the components' variances, 1 makes them equal; between is a power of it.
        seed: of weights and order.
    """

    epochs: int = 18
    batch: int = 64
    rate: float = 3e-3
    warm_up: int = 200
    decay: float = 0.02
    map_weight: tuple[float, ...] = (0.3, 0.7, 0.7)
    pooled_weight: float = 3.0
    relation_weight: float = 5.0
    components: int = 256
    whitening: float = 0.6
    seed: int = 0
    student: StudentConfig = field(default_factory=StudentConfig)


@dataclass(frozen=True, eq=False)
class Scales:
    """What turns targets into numbers of about unit variance, estimated on the training views.

    Attributes:
        maps: mean and deviation, each ``(C,)``, of every map.
        mean: ``(P,)`` of the pooled statistics.
        projection: ``(P, K)``, from centred pooled statistics to whitened components.
    """

    maps: tuple[tuple[Tensor, Tensor], ...]
    mean: Tensor
    projection: Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Views and their scaled targets: maps ``(N, C, h, w)``, pooled ``(N, K)``."""

    images: Tensor
    maps: tuple[Tensor, ...]
    pooled: Tensor


class Pupil(nn.Module):
    """The student with the adapters that it needs only while it learns."""

    def __init__(self, config: StudentConfig, map_widths: tuple[int, ...], components: int) -> None:
        super().__init__()
        self.student = Student(config)
        pairs = zip(config.outputs, map_widths, strict=True)
        self.adapters = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairs)
        self.norm = nn.BatchNorm1d(2 * sum(config.outputs))
        self.head = nn.Linear(2 * sum(config.outputs), components)

    def forward(self, images: Tensor, sides: tuple[int, ...]) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """The adapted maps, the normalised pooled statistics and what the head makes of these."""
        maps = self.student(images)
        adapted = tuple(
            adapter(functional.avg_pool2d(m, m.shape[-1] // side))
            for adapter, m, side in zip(self.adapters, maps, sides, strict=True)
        )
        with torch.autocast("cpu", enabled=False):
            statistics = self.norm(pool(maps))
            return adapted, statistics, self.head(statistics)


def pool(maps: tuple[Tensor, ...]) -> Tensor:
    """Mean and deviation over space of every ``(N, C, h, w)`` map, side by side, float32."""
    wide = [m.float() for m in maps]
    return torch.cat([s for m in wide for s in (m.mean((2, 3)), torch.sqrt(m.var((2, 3)) + 1e-6))], dim=1)


def unexplained(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of ``(N, C, …)`` tensors; 1 for guessing the mean of unit-variance targets."""
    return functional.mse_loss(found.float(), wanted)


def relation_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """How differently two embeddings ``(N, P)`` and ``(N, Q)`` see the similarities of N views to each other.

    Mean squared difference of the two matrices of cosine similarities.
    """
    a, b = (functional.normalize(x, dim=1) for x in (found, wanted))
    return functional.mse_loss(a @ a.T, b @ b.T)


def losses(pupil: Pupil, batch: Batch) -> dict[str, Tensor]:
    """Every loss of a batch before weighting, by name."""
    sides = tuple(m.shape[-1] for m in batch.maps)
    with torch.autocast("cpu", torch.bfloat16):
        adapted, statistics, components = pupil(batch.images, sides)
    named = {f"map{k}": unexplained(a, b) for k, (a, b) in enumerate(zip(adapted, batch.maps, strict=True))}
    spread = batch.pooled.var(0, unbiased=False).mean().clamp_min(_FLOOR)
    return named | {
        "pooled": unexplained(components, batch.pooled) / spread,
        "relation": relation_loss(statistics, batch.pooled),
    }


def total(named: dict[str, Tensor], config: DistilConfig) -> Tensor:
    """The weighted sum that is minimised."""
    weights = {f"map{k}": weight for k, weight in enumerate(config.map_weight)}
    weights |= {"pooled": config.pooled_weight, "relation": config.relation_weight}
    return torch.stack([weights[name] * loss for name, loss in named.items()]).sum()


def estimate_scales(targets: Targets, config: DistilConfig) -> Scales:
    """Means, deviations and principal components of the training views' targets."""
    rows = np.linspace(0, _training_views(targets) - 1, min(2000, _training_views(targets))).astype(int)
    maps = tuple(_moments(m[rows].astype(np.float32)) for m in targets.maps)
    pooled = np.asarray(targets.pooled[: _training_views(targets)], dtype=np.float32)
    mean, deviation = pooled.mean(0), pooled.std(0) + _FLOOR
    standard = ((pooled - mean) / deviation).astype(np.float64)
    variance, axes = np.linalg.eigh(standard.T @ standard / len(standard))
    kept = slice(-config.components, None)
    scale = np.maximum(variance[kept], 1e-6) ** (-config.whitening / 2)
    projection = axes[:, kept] * scale / deviation[:, None]
    return Scales(maps, torch.from_numpy(mean), torch.from_numpy(projection.astype(np.float32)))


def _moments(features: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel of ``(N, h, w, C)``."""
    deviation = features.std((0, 1, 2)) + _FLOOR
    return torch.from_numpy(features.mean((0, 1, 2))), torch.from_numpy(deviation)


def _training_views(targets: Targets) -> int:
    return len(targets) - max(1, int(_HELD_OUT * len(targets)))


def load_batch(targets: Targets, scales: Scales, rows: NDArray[np.int64]) -> Batch:
    """Some views with their scaled targets."""
    rows = np.sort(rows)
    maps = [torch.from_numpy(m[rows]).float() for m in targets.maps]
    scaled = tuple(
        ((m - mean) / deviation).permute(0, 3, 1, 2) for m, (mean, deviation) in zip(maps, scales.maps, strict=True)
    )
    pooled = torch.from_numpy(targets.pooled[rows]).float() - scales.mean
    images = brightness(torch.from_numpy(targets.views[rows])).to(memory_format=torch.channels_last)
    return Batch(images, scaled, pooled @ scales.projection)


def distil(targets: Targets, config: DistilConfig, folder: Path, report: Report) -> tuple[Student, dict[str, float]]:
    """Train a student, or go on where an interrupted call stopped.

    Args:
        targets: views and what the teachers say of them.
        config: the recipe.
        folder: where the state after each epoch is kept.
        report: told the held-out losses of each epoch.

    Returns:
        The student in evaluation mode and its held-out losses by name.

    Raises:
        UsageError: fewer views than a batch.
        DataError: the folder holds the state of another recipe.
    """
    if _training_views(targets) < config.batch:
        raise UsageError(
            f"Distillation: expected at least {config.batch} training views, "
            f"found {_training_views(targets)}. Ask for more views or a smaller batch."
        )
    scales = estimate_scales(targets, config)
    pupil, optimiser = _beginning(targets, config)
    state = _State(folder, pupil, optimiser, config, scales)
    for epoch in range(state.restore(), config.epochs):
        for step, rows in enumerate(_batches(targets, config, epoch)):
            _learn(
                pupil,
                optimiser,
                load_batch(targets, scales, rows),
                config,
                _rate(targets, config, epoch, step),
            )
        state.save(epoch + 1)
        measured = held_out_losses(pupil, targets, scales, config)
        report(f"epoch {epoch + 1}/{config.epochs} " + " ".join(f"{k} {v:.4f}" for k, v in measured.items()))
    measured = held_out_losses(pupil, targets, scales, config)
    return pupil.student.eval(), measured


def _beginning(targets: Targets, config: DistilConfig) -> tuple[Pupil, torch.optim.Optimizer]:
    """A fresh pupil, which depends on the seed alone, and its optimiser."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        pupil = Pupil(config.student, tuple(m.shape[-1] for m in targets.maps), config.components)
    pupil = pupil.to(memory_format=torch.channels_last)
    return pupil, torch.optim.AdamW(pupil.parameters(), lr=config.rate, weight_decay=config.decay)


def _batches(targets: Targets, config: DistilConfig, epoch: int) -> Iterator[NDArray[np.int64]]:
    """The training views in an order of this epoch's own; what does not fill a batch is left out."""
    order = np.random.default_rng((config.seed, epoch)).permutation(_training_views(targets))
    for k in range(len(order) // config.batch):
        yield order[k * config.batch : (k + 1) * config.batch]


def _rate(targets: Targets, config: DistilConfig, epoch: int, step: int) -> float:
    """The learning rate of a step."""
    steps = _training_views(targets) // config.batch
    now = epoch * steps + step + 1
    cosine = 0.5 * (1 + math.cos(math.pi * now / (steps * config.epochs)))
    return config.rate * min(1.0, now / config.warm_up) * cosine


def _learn(pupil: Pupil, optimiser: torch.optim.Optimizer, batch: Batch, config: DistilConfig, rate: float) -> None:
    """One step."""
    pupil.train()
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(total(losses(pupil, batch), config))
    nn.utils.clip_grad_norm_(pupil.parameters(), 5.0)
    optimiser.step()


@torch.no_grad()
def held_out_losses(pupil: Pupil, targets: Targets, scales: Scales, config: DistilConfig) -> dict[str, float]:
    """Mean of every loss over the held-out views, in evaluation mode."""
    pupil.eval()
    rows = np.arange(_training_views(targets), len(targets))
    parts = np.array_split(rows, max(1, len(rows) // config.batch))
    found = [losses(pupil, load_batch(targets, scales, part)) for part in parts]
    return {name: float(torch.stack([f[name] for f in found]).mean()) for name in found[0]}


class _State:
    """Weights and optimiser after the last epoch, in one safetensors file."""

    def __init__(
        self, folder: Path, pupil: Pupil, optimiser: torch.optim.Optimizer, config: DistilConfig, scales: Scales
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "state.safetensors"
        self.recipe_path = folder / "recipe.json"
        taught = digest(scales.mean.numpy().tobytes())  # other targets have other means
        self.recipe = json.dumps(asdict(config) | {"targets": taught}, sort_keys=True, indent=1)
        self.pupil, self.optimiser = pupil, optimiser

    def restore(self) -> int:
        """Take up the saved state; return the epochs that it has behind it."""
        if not self.path.exists():
            self.recipe_path.write_text(self.recipe)
            return 0
        if self.recipe_path.read_text() != self.recipe:
            raise DataError(
                f"{self.path.parent}: expected the state of this recipe, found that of another. "
                "Name another folder, or delete this one."
            )
        tensors = load_file(self.path)
        self.pupil.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("pupil.")})
        for number, parameter in enumerate(self.pupil.parameters()):
            self.optimiser.state[parameter] = {
                name: tensors[f"adamw.{number}.{name}"].clone(memory_format=torch.preserve_format)
                for name in ("step", "exp_avg", "exp_avg_sq")
            }
        return int(tensors["epochs"])

    def save(self, epochs: int) -> None:
        """Keep the state; the file is replaced whole, so an interruption leaves the one before."""
        tensors = {f"pupil.{k}": v for k, v in self.pupil.state_dict().items()} | {"epochs": torch.tensor(epochs)}
        for number, parameter in enumerate(self.pupil.parameters()):
            kept = self.optimiser.state[parameter]
            tensors |= {f"adamw.{number}.{name}": kept[name] for name in ("step", "exp_avg", "exp_avg_sq")}
        with whole(self.path) as partial:
            save_file({k: v.contiguous() for k, v in tensors.items()}, partial)


def digest(data: bytes) -> str:
    """sha256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
