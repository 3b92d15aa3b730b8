import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from millscale.core.errors import ModelError  # noqa: E402
from millscale.train.loop import Job, LoopConfig, fit, rate_factor  # noqa: E402

CONFIG = LoopConfig(epochs=4, rate=0.01, seed=3)


@pytest.mark.parametrize(
    ("step", "total", "warm_up", "expected"),
    [
        (0, 10, 0.0, 1.0),
        (0, 100, 0.1, 0.1),
        (9, 100, 0.1, 1.0),
        (10, 100, 0.1, 1.0),
        (55, 100, 0.1, 0.5),
        (99, 100, 0.1, 0.5 * (1 + math.cos(math.pi * 89 / 90))),
        (0, 1, 0.5, 1.0),
    ],
)
def test_the_rate_rises_then_follows_a_cosine(step, total, warm_up, expected):
    assert rate_factor(step, total, warm_up) == pytest.approx(expected)


def network() -> nn.Module:
    """Convolutions in the memory layout that training uses, dropout, and a buffer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(8, 4, 3),
        ]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 36, 2)).to(memory_format=torch.channels_last)


def batches(epoch: int):
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(3):
        images = torch.randn(4, 3, 8, 8, generator=generator)
        yield images, (images.mean((1, 2, 3)) > 0).long()


def loss(model: nn.Module, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def score(model: nn.Module) -> float:
    with torch.no_grad():
        return -float(sum(loss(model, batch) for batch in batches(1000)))


def job(**changes) -> Job:
    return replace(Job(network(), 3, batches, lambda model, _, batch: loss(model, batch), score), **changes)


def states(model: nn.Module):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("epoch", [0, 1, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_interrupted_and_resumed_run_ends_with_the_same_bits(tmp_path, epoch, dtype):
    config = replace(CONFIG, dtype=dtype)
    whole = job()
    history = fit(whole, config, tmp_path / "whole.safetensors")

    def stop_in_epoch(number: int):
        for position, batch in enumerate(batches(number)):
            if (number, position) == (epoch, 1):
                raise Interrupted
            yield batch

    torch.manual_seed(99)
    with pytest.raises(Interrupted):
        fit(job(batches=stop_in_epoch), config, tmp_path / "cut.safetensors")
    torch.manual_seed(123)
    resumed = job()
    assert fit(resumed, config, tmp_path / "cut.safetensors") == history
    assert_same(states(resumed.model), states(whole.model))
    assert (tmp_path / "cut.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_another_seed_gives_another_network(tmp_path):
    first, second = job(), job()
    fit(first, CONFIG, tmp_path / "a.safetensors")
    fit(second, replace(CONFIG, seed=4), tmp_path / "b.safetensors")
    assert not torch.equal(first.model[0].weight, second.model[0].weight)


def test_a_finished_run_is_not_repeated(tmp_path):
    first = job()
    history = fit(first, CONFIG, tmp_path / "a.safetensors")
    asked = []
    again = job(batches=lambda epoch: asked.append(epoch) or [])
    assert fit(again, CONFIG, tmp_path / "a.safetensors") == history
    assert asked == []
    assert_same(states(again.model), states(first.model))


@pytest.mark.parametrize("changed", [{"config": replace(CONFIG, rate=0.02)}, {"identity": "other data"}])
def test_the_checkpoint_of_another_run_is_refused(tmp_path, changed):
    fit(job(), CONFIG, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="another configuration or other data"):
        fit(
            job(identity=changed.get("identity", "")),
            changed.get("config", CONFIG),
            tmp_path / "a.safetensors",
        )


def test_training_leaves_the_global_random_state_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(job(), CONFIG, tmp_path / "a.safetensors")
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("scores", "patience", "epochs", "best"),
    [
        ([1, 2, 3, 4], 0, 4, 3),
        ([3, 2, 1, 4], 0, 4, 3),
        ([3, 2, 1, 4], 2, 3, 0),
        ([3, 3, 3, 3], 1, 2, 0),
        ([1, 0, 2, 1], 2, 4, 2),
    ],
)
def test_training_stops_when_patience_ends_and_keeps_the_best_epoch(tmp_path, scores, patience, epochs, best):
    seen, kept = iter(scores), []

    def listed(model: nn.Module) -> float:
        kept.append(states(model))
        return next(seen)

    trained = job(score=listed)
    history = fit(trained, replace(CONFIG, patience=patience), tmp_path / "a.safetensors")
    assert (len(history.scores), history.best) == (epochs, best)
    assert_same(states(trained.model), kept[best])
    assert not trained.model.training


def test_the_average_follows_the_weights(tmp_path):
    model, weights, averages = nn.Linear(2, 1), [], []

    def recorded(network: nn.Module, average: nn.Module, batch):
        assert not average.training
        weights.append(network.weight.detach().clone())
        return network(batch).square().mean()

    def last(network: nn.Module) -> float:
        weights.append(model.weight.detach().clone())
        averages.append(network.weight.detach().clone())
        return 0.0

    steps = [torch.tensor([[1.0, float(k)]]) for k in range(30)]
    config = LoopConfig(epochs=1, rate=0.1, ema=0.7)
    fit(Job(model, 30, lambda _: steps, recorded, last), config, tmp_path / "a.safetensors")
    expected = weights[0]
    for step, weight in enumerate(weights[1:]):
        decay = min(0.7, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(averages[0], expected)
    assert not torch.allclose(averages[0], weights[-1], atol=1e-4)


def test_weights_decay_biases_and_frozen_parameters_do_not(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(requires_grad=False)
    before = states(model)
    no_gradient = Job(model, 1, lambda _: [None], lambda m, *_: 0 * sum(p.sum() for p in m.parameters()), lambda _: 0.0)
    fit(no_gradient, LoopConfig(epochs=1, rate=0.1, weight_decay=0.5, ema=0.0), tmp_path / "a.safetensors")
    torch.testing.assert_close(model[1].weight, before["1.weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(model[1].bias, before["1.bias"])
    assert torch.equal(model[0].weight, before["0.weight"])


def test_a_loss_that_is_not_finite_is_reported(tmp_path):
    with pytest.raises(ModelError, match=r"expected a finite loss, found nan at step 0 .* Lower the rate"):
        fit(job(loss=lambda model, _, batch: loss(model, batch) * math.nan), CONFIG, tmp_path / "a.safetensors")


def test_a_line_is_found(tmp_path):
    model = nn.Linear(1, 1)
    x = torch.linspace(-1, 1, 16)[:, None]

    def square(network: nn.Module, batch):
        return ((network(batch) - (3 * batch - 1)) ** 2).mean()

    line = Job(model, 50, lambda _: [x] * 50, lambda m, _, b: square(m, b), lambda m: -square(m, x).item())
    history = fit(line, LoopConfig(epochs=8, rate=0.1, weight_decay=0.0), tmp_path / "a.safetensors")
    assert history.scores[-1] > -1e-4
    assert float(model.weight.detach()) == pytest.approx(3, abs=0.02)
    assert float(model.bias.detach()) == pytest.approx(-1, abs=0.02)
