import torch
from torch import nn

from millscale.train.unfold import unfold_batch_norm


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5))
    for norm in (model[1], model[4]):
        nn.init.normal_(norm.weight, 1, 0.2)
        nn.init.normal_(norm.bias)
    return model.eval()


def test_nothing_changes_but_the_statistics():
    model, images = network(), [torch.rand(8, 3, 12, 12) * 9, torch.rand(4, 3, 12, 12) * 9]
    with torch.no_grad():
        before = model(images[1])
        first = model[0](torch.cat(images))
    unfold_batch_norm(model, images)
    with torch.no_grad():
        torch.testing.assert_close(model(images[1]), before, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model[1].running_mean, first.mean((0, 2, 3)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model[1].running_var, first.var((0, 2, 3), correction=0), atol=1e-3, rtol=1e-3)


def test_training_starts_from_nearly_the_same_function():
    model, images = network(), torch.rand(64, 3, 12, 12) * 9
    unfold_batch_norm(model, [images])
    with torch.no_grad():
        before, during = model(images), model.train()(images)
    torch.testing.assert_close(before, during, atol=2e-3, rtol=2e-3)
