import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from millscale.core import plugins  # noqa: E402
from millscale.core.errors import ModelError, UsageError  # noqa: E402
from millscale.train.network import (  # noqa: E402
    PACKAGE,
    Classifier,
    PooledStages,
    build_network,
    fold_batch_norm,
    freeze,
    load_weights,
    mean_and_deviation,
    network_spec,
)


def small(pooled=(0, 1)) -> Classifier:
    stages = [nn.Conv2d(3, 2, 3), nn.Conv2d(2, 4, 3)]
    return Classifier(PooledStages(stages, pooled), 2 * sum((2, 4)[k] for k in pooled), 5)


def test_pooled_features_are_means_and_deviations_of_the_chosen_maps():
    images, network = torch.randn(2, 3, 9, 9), small((0, 1))
    with torch.no_grad():
        first = network.embed.stages[0](images)
        second = network.embed.stages[1](first)
        found = network.features(images).numpy()
    maps = [m.numpy().reshape(2, -1, m.shape[2] * m.shape[3]) for m in (first, second)]
    expected = np.concatenate([s for m in maps for s in (m.mean(2), np.sqrt(m.var(2) + 1e-6))], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_silent_channel_has_a_finite_gradient():
    maps = torch.zeros(1, 2, 4, 4, requires_grad=True)
    sum(part.sum() for part in mean_and_deviation(maps)).backward()
    assert bool(torch.isfinite(maps.grad).all())


def test_features_are_standardised_before_the_head():
    network, images = small(), torch.randn(3, 3, 9, 9)
    with torch.no_grad():
        plain = network.features(images)
        network.centre.fill_(2.0)
        network.spread.fill_(4.0)
        torch.testing.assert_close(network.features(images), (plain - 2) / 4)
        torch.testing.assert_close(network(images), network.head((plain - 2) / 4))


def test_folding_batch_norm_keeps_what_is_computed_and_leaves_none():
    inner = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    network = nn.Sequential(inner, nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)).train()
    with torch.no_grad():
        network(3 * torch.randn(8, 3, 6, 6) + 1)
        network[2].weight.mul_(-3)
    images = torch.randn(2, 3, 6, 6)
    expected = network.eval()(images)
    fold_batch_norm(network)
    torch.testing.assert_close(network.train()(images), expected)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_frozen_stages_have_no_gradient():
    network = small()
    freeze(network, 1)
    assert [p.requires_grad for p in network.embed.parameters()] == [False, False, True, True]
    with pytest.raises(UsageError, match="expected at most 2 stages of this network, found 3"):
        freeze(network, 3)


def test_missing_weights_name_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSCALE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("MILLSCALE_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"expected net\.safetensors in \$MILLSCALE_WEIGHTS .* set MILLSCALE_WEIGHTS"):
        load_weights(nn.Linear(2, 2), "net.safetensors")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": torch.zeros(2, 2)}, "1 of them absent or of another shape, the first 'bias'"),
        ({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}, "the first 'weight'"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, monkeypatch, tensors, message):
    monkeypatch.setenv("MILLSCALE_WEIGHTS", str(tmp_path))
    save_file(tensors, tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match=message):
        load_weights(nn.Linear(2, 2), "net.safetensors")


def test_weights_are_loaded_and_others_left(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSCALE_WEIGHTS", str(tmp_path))
    weight, bias = torch.randn(2, 2), torch.randn(2)
    save_file({"weight": weight, "bias": bias, "fc.weight": torch.zeros(9)}, tmp_path / "net.safetensors")
    layer = nn.Linear(2, 2)
    load_weights(layer, "net.safetensors")
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer.bias, bias)


def test_a_damaged_weights_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSCALE_WEIGHTS", str(tmp_path))
    (tmp_path / "net.safetensors").write_bytes(b"not this")
    with pytest.raises(ModelError, match="expected a safetensors file"):
        load_weights(nn.Linear(2, 2), "net.safetensors")


def test_an_unknown_network_names_those_there_are():
    with pytest.raises(UsageError, match=r"'resnt18'. Did you mean 'resnet18'\? Available: .*small_cnn"):
        network_spec("resnt18")


def test_the_small_network_is_that_of_the_introductory_course():
    network = build_network(network_spec("small_cnn"), 6, (128, 128), seed=0)
    convolutions = 3 * 32 * 9 + 32 + 32 * 64 * 9 + 64 + 64 * 128 * 9 + 128 + 128 * 128 * 9 + 128
    dense = 8 * 8 * 128 * 128 + 128 + 128 * 6 + 6
    assert sum(parameter.numel() for parameter in network.parameters()) == convolutions + dense
    assert network(torch.zeros(2, 3, 128, 128)).shape == (2, 6)


def test_random_weights_depend_on_the_seed_alone():
    spec = network_spec("small_cnn")
    first, again, other = (build_network(spec, 2, (32, 32), seed=s).head.weight for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_every_network_says_what_it_is(name):
    spec = network_spec(name)
    assert spec.description
    assert spec.licence
