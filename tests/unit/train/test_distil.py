from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train floor needs torch: pip install 'millscale[train]'")
pytest.importorskip("safetensors", reason="the train floor needs safetensors: pip install 'millscale[train]'")

from millscale.core.errors import DataError, UsageError  # noqa: E402
from millscale.train.distil import (  # noqa: E402
    DistilConfig,
    Pupil,
    distil,
    estimate_scales,
    load_batch,
    losses,
    pool,
    relation_loss,
    total,
)
from millscale.train.student import StudentConfig, to_onnx  # noqa: E402
from millscale.train.targets import Targets  # noqa: E402

TINY = DistilConfig(
    epochs=3,
    batch=16,
    warm_up=2,
    components=4,
    student=StudentConfig(stem=4, widths=(4, 6, 8), outputs=(4, 6, 10)),
)


@pytest.fixture
def targets():
    """Random views whose targets are simple functions of their brightness and contrast."""
    rng = np.random.default_rng(0)
    level, contrast = rng.uniform(40, 200, (50, 1, 1)), rng.uniform(2, 30, (50, 1, 1))
    views = np.clip(level + contrast * rng.normal(size=(50, 32, 32)), 0, 255).astype(np.uint8)
    pooled = np.concatenate([level[:, 0], contrast[:, 0], level[:, 0] * contrast[:, 0], 1 / contrast[:, 0]], 1)
    maps = tuple(np.repeat(np.repeat(np.stack([level, contrast], -1), s, 1), s, 2) for s in (8, 4, 2))
    return Targets(views, tuple(m.astype(np.float16) for m in maps), (pooled / pooled.std(0)).astype(np.float16))


def silent(_: str) -> None:
    pass


def test_relation_loss_against_the_slow_reference():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(5, 7))

    def cosine(x, i, j):
        return x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j])

    wanted = np.mean([(cosine(a, i, j) - cosine(b, i, j)) ** 2 for i in range(5) for j in range(5)])
    assert float(relation_loss(torch.tensor(a), torch.tensor(b))) == pytest.approx(wanted)


def test_relation_loss_is_zero_for_a_turned_and_scaled_copy():
    a = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))[0]
    assert float(relation_loss(a, 3 * a @ turn)) == pytest.approx(0, abs=1e-10)


def test_pool_is_mean_then_deviation():
    m = torch.tensor([[[[0.0, 2.0], [0.0, 2.0]]]])
    np.testing.assert_allclose(pool((m,)), [[1.0, np.sqrt(4 / 3)]], rtol=1e-5)


@pytest.mark.parametrize(("whitening", "wanted"), [(1.0, [1, 1, 1]), (0.0, [0.2, 1.0, 1.8])])
def test_components_have_the_asked_variances(whitening, wanted):
    rng = np.random.default_rng(0)
    one, two, three = np.linalg.qr(rng.normal(size=(500, 3)) - rng.normal(size=(500, 3)).mean(0))[0].T
    # Standardised columns with correlation matrix [[1, ρ, 0], …] have eigenvalues 1 - ρ, 1, 1 + ρ.
    pooled = np.stack([one, 0.8 * one + 0.6 * two, three], 1) * 100
    empty = np.zeros((500, 2, 2, 1), np.float16)
    targets = Targets(np.zeros((500, 4, 4), np.uint8), (empty,) * 3, pooled.astype(np.float16))
    config = replace(TINY, components=3, whitening=whitening)
    scales = estimate_scales(targets, config)
    found = load_batch(targets, scales, np.arange(480)).pooled.var(0, unbiased=False)
    np.testing.assert_allclose(found, wanted, atol=0.06)


def test_total_weighs_every_loss(targets):
    pupil = Pupil(TINY.student, (2, 2, 2), 4).eval()
    batch = load_batch(targets, estimate_scales(targets, TINY), np.arange(16))
    found = losses(pupil, batch)
    assert sorted(found) == ["map0", "map1", "map2", "pooled", "relation"]
    wanted = 2 * found["map0"] + 3 * found["map1"] + 5 * found["map2"] + 7 * found["pooled"] + 11 * found["relation"]
    config = replace(TINY, map_weight=(2, 3, 5), pooled_weight=7, relation_weight=11)
    assert float(total(found, config).detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)


def test_held_out_losses_fall(targets, tmp_path):
    _, short = distil(targets, replace(TINY, epochs=1), tmp_path / "short", silent)
    _, long = distil(targets, replace(TINY, epochs=30), tmp_path / "long", silent)
    assert long["pooled"] < short["pooled"]
    assert long["map2"] < short["map2"]


class StopError(Exception):
    pass


def test_an_interrupted_run_goes_on_and_ends_bit_identical(targets, tmp_path):
    def stop_after_the_second(line: str) -> None:
        if line.startswith("epoch 2/"):
            raise StopError

    whole, _ = distil(targets, TINY, tmp_path / "whole", silent)
    with pytest.raises(StopError):
        distil(targets, TINY, tmp_path / "parted", stop_after_the_second)
    parted, _ = distil(targets, TINY, tmp_path / "parted", silent)
    assert to_onnx(parted) == to_onnx(whole)


def test_the_state_of_another_recipe_is_refused(targets, tmp_path):
    distil(targets, replace(TINY, epochs=1), tmp_path, silent)
    with pytest.raises(DataError, match="another"):
        distil(targets, replace(TINY, epochs=1, rate=1e-4), tmp_path, silent)


def test_fewer_views_than_a_batch_are_refused(targets, tmp_path):
    with pytest.raises(UsageError, match="at least 64 training views"):
        distil(targets, replace(TINY, batch=64), tmp_path, silent)


def test_the_caller_s_random_state_is_left_alone(targets, tmp_path):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    distil(targets, replace(TINY, epochs=1), tmp_path, silent)
    assert torch.equal(torch.rand(3), wanted)
