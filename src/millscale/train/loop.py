"""The one training loop: every network of the project is trained by ``fit``, whatever its task.

AdamW with warm-up and cosine rate (Loshchilov & Hutter 2017, 2019), clipped gradients, a moving average of
the weights (Polyak & Juditsky 1992), a checkpoint after every epoch. An interrupted run goes on from its last
epoch and ends with the same bits, because all that is random in an epoch is seeded by that epoch's number.
"""

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import get_ema_multi_avg_fn

from millscale.core.errors import ModelError
from millscale.train.checkpoint import load_checkpoint, save_checkpoint
from millscale.train.device import repeatable

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class LoopConfig:
    """How a network is trained, whatever its task.

    Attributes:
        epochs: passes over the data.
        rate: highest learning rate.
        warm_up: share of all steps in which the rate rises, in [0, 1).
        weight_decay: on parameters of two and more dimensions.
        ema: decay a step of the moving average of the weights; 0 follows them at once.
        clip: largest norm of a step's gradient.
        patience: epochs without a better score after which training stops; 0 never stops early.
        dtype: in which layers compute while training: "float32" or "bfloat16".
        seed: of everything random.
    """

    epochs: int
    rate: float
    warm_up: float = 0.1
    weight_decay: float = 0.02
    ema: float = 0.99
    clip: float = 1.0
    patience: int = 0
    dtype: str = "float32"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Job(Generic[Batch]):
    """What is trained, on what, towards what.

    Attributes:
        model: trained in place, on the device where it stands; parameters without gradient stay as they are.
        steps: batches in an epoch.
        batches: the ``steps`` batches of an epoch given its number, the same ones whenever it is asked.
        loss: of (model, its moving average in evaluation mode, batch), a scalar; the average may teach the model.
        score: of a model in evaluation mode on data it is not trained on, larger is better; None keeps the
            weights of the last epoch.
        identity: of the data and all else that the weights depend on besides ``LoopConfig``.
    """

    model: nn.Module
    steps: int
    batches: Callable[[int], Iterable[Batch]]
    loss: Callable[[nn.Module, nn.Module, Batch], Tensor]
    score: Callable[[nn.Module], float] | None
    identity: str = ""


@dataclass(frozen=True)
class History:
    """The score after every epoch (its number where nothing scores), and the epoch kept, counted from 0."""

    scores: tuple[float, ...]
    best: int


def fit(
    job: Job[Batch], config: LoopConfig, checkpoint: Path, progress: Callable[[int, int], None] | None = None
) -> History:
    """Train ``job.model``; it ends in evaluation mode with the averaged weights of its best epoch.

    Args:
        job: what is trained.
        config: how.
        checkpoint: a file; where it holds an earlier part of this very job, that part is not done again.
        progress: called with (steps done, steps in all).

    Raises:
        ModelError: the loss is no longer finite, or the checkpoint is of another job.
    """
    model, total = job.model, config.epochs * job.steps
    device = next(model.parameters()).device
    average, best = copy.deepcopy(model).eval(), copy.deepcopy(model)
    optimiser = AdamW(_parameter_groups(model, config.weight_decay), lr=config.rate)
    parts = {"model.": model, "average.": average, "best.": best}
    identity = {"loop": asdict(config), "steps": job.steps, "job": job.identity}
    scores = _resume(checkpoint, parts, optimiser, identity)
    with repeatable(device):
        for epoch in range(len(scores), config.epochs):
            if _out_of_patience(scores, config.patience):
                break
            torch.manual_seed(_epoch_seed(config.seed, epoch))
            model.train()
            for step, batch in enumerate(job.batches(epoch), start=epoch * job.steps):
                for group in optimiser.param_groups:
                    group["lr"] = config.rate * rate_factor(step, total, config.warm_up)
                with torch.autocast(device.type, torch.bfloat16, enabled=config.dtype == "bfloat16"):
                    loss = job.loss(model, average, batch)
                _require_finite(loss, step, config)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), config.clip)
                optimiser.step()
                _follow(average, model, config.ema, step)
                if progress:
                    progress(step + 1, total)
            scores.append(job.score(average) if job.score else float(epoch))
            if scores[-1] > max(scores[:-1], default=-math.inf):
                best.load_state_dict(average.state_dict())
            save_checkpoint(checkpoint, _tensors(parts, optimiser), {"scores": scores, "identity": identity})
    model.load_state_dict(best.state_dict())
    model.eval()
    if progress:
        progress(total, total)
    return History(tuple(scores), scores.index(max(scores)))


def rate_factor(step: int, total: int, warm_up: float) -> float:
    """Share of the highest rate at a step: a line up over ``warm_up * total`` steps, then a cosine to 0."""
    rising = max(1, round(warm_up * total))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Biases and norms are not decayed: they are few, and zero is no natural value for them."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


def _epoch_seed(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch) % 2**63


def _require_finite(loss: Tensor, step: int, config: LoopConfig) -> None:
    if not bool(torch.isfinite(loss)):
        raise ModelError(
            f"Training: expected a finite loss, found {loss.item()} at step {step} with rate {config.rate}. "
            "Lower the rate."
        )


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """``average ← d average + (1 - d) model``; d grows over the first steps, to forget the start."""
    decay = min(decay, (1 + step) / (10 + step))
    follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    follow(list(average.parameters()), list(model.parameters()), step)
    for buffer, value in zip(average.buffers(), model.buffers(), strict=True):
        buffer.copy_(value)


def _out_of_patience(scores: list[float], patience: int) -> bool:
    return 0 < patience < len(scores) and max(scores[-patience:]) <= max(scores[:-patience])


def _tensors(parts: dict[str, nn.Module], optimiser: AdamW) -> dict[str, Tensor]:
    tensors = {prefix + name: t for prefix, part in parts.items() for name, t in part.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
    return tensors


def _resume(path: Path, parts: dict[str, nn.Module], optimiser: AdamW, identity: dict[str, Any]) -> list[float]:
    """Put back what the checkpoint holds and return its scores; none where there is no checkpoint."""
    if not path.is_file():
        return []
    tensors, facts = load_checkpoint(path)
    if facts.get("identity") != identity:
        raise ModelError(
            f"{path}: expected a checkpoint of this very training, found one of another configuration or "
            "other data. Name another folder (--out), or remove the file to start anew."
        )
    for prefix, part in parts.items():
        own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        part.load_state_dict(own)
    optimiser.load_state_dict(
        {
            "state": _optimiser_state(tensors, optimiser),
            "param_groups": optimiser.state_dict()["param_groups"],
        }
    )
    return [float(score) for score in facts["scores"]]


def _optimiser_state(tensors: dict[str, Tensor], optimiser: AdamW) -> dict[int, dict[str, Tensor]]:
    """The optimiser's tensors, laid out in memory like their parameters: the order of sums decides bits."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".")
            like = parameters[int(index)]
            same = value.shape == like.shape
            state.setdefault(int(index), {})[key] = torch.empty_like(like).copy_(value) if same else value
    return state
