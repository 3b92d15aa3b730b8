import hashlib

import pytest

from millscale.core.errors import ModelError
from millscale.train import published
from millscale.train.published import PUBLISHED, download_weights


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache, and one known file more."""
    monkeypatch.setenv("MILLSCALE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(published.PUBLISHED, "leaf", hashlib.sha256(b"green").hexdigest())
    return tmp_path / "cache"


def test_weights_are_fetched_once_and_lie_where_training_looks_for_them(server, cache):
    folder, url = server
    (folder / "leaf.safetensors").write_bytes(b"green")
    told = []
    path = download_weights("leaf", url=url, report=told.append)
    assert path == cache / "weights" / "leaf.safetensors"
    assert download_weights("leaf", url="http://127.0.0.1:9/", report=told.append) == path
    assert told == [f"Fetching {url}leaf.safetensors"]


def test_another_file_is_refused_and_leaves_nothing(server, cache):
    folder, url = server
    (folder / "leaf.safetensors").write_bytes(b"brown")
    with pytest.raises(ModelError, match=r"expected the published leaf with sha256 .*…, found .*Remove"):
        download_weights("leaf", url=url)
    assert not list((cache / "weights").iterdir())


def test_every_file_that_a_network_starts_from_has_its_name():
    pytest.importorskip("torch")
    from millscale.train.detectors import _coco, yolo_s
    from millscale.train.networks import mobilenet_v2, resnet18

    files = {module.WEIGHTS for module in (_coco, yolo_s, mobilenet_v2, resnet18)}
    assert {f"{name}.safetensors" for name in PUBLISHED} == files | {"leaf.safetensors"}
