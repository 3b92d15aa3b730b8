import hashlib
from http.server import SimpleHTTPRequestHandler

import pytest

from millscale.core.errors import ModelError, UsageError
from millscale.features.backbone import BackboneSpec, download_backbone, open_backbones, spec_of


@pytest.fixture
def plant(monkeypatch, tmp_path, tiny):
    """A registered backbone ``plant`` whose published file is the tiny one; weights and cache are empty."""
    spec = BackboneSpec("plant", "for tests", tiny.outputs, "none", hashlib.sha256(tiny.data).hexdigest())
    module = tmp_path / "plugin" / "plant_backbone.py"
    info = tmp_path / "plugin" / "plant-1.0.dist-info"
    info.mkdir(parents=True)
    module.write_text(f"from millscale.features.backbone import BackboneSpec\nSPEC = {spec!r}\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plant\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[millscale.features.backbones]\nplant = plant_backbone\n")
    monkeypatch.syspath_prepend(tmp_path / "plugin")
    monkeypatch.setenv("MILLSCALE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MILLSCALE_WEIGHTS", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    return tmp_path


def _fetched(plant):
    return sorted(path.name for path in (plant / "cache").rglob("*") if path.is_file())


def test_the_right_file_is_kept_and_opened(plant, server, tiny):
    folder, url = server
    (folder / "plant.onnx").write_bytes(tiny.data)
    told = []
    path = download_backbone("plant", url=url, report=told.append)
    assert path.read_bytes() == tiny.data
    assert told == [f"Fetching {url}plant.onnx"]
    assert _fetched(plant) == ["plant.onnx"]
    assert open_backbones("plant")[0].data == tiny.data


def test_another_file_is_refused_and_leaves_nothing(plant, server):
    folder, url = server
    (folder / "plant.onnx").write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"expected the published plant with sha256 .*…, found .*…"):
        download_backbone("plant", url=url)
    assert _fetched(plant) == []


def test_a_missing_file_is_told_and_leaves_nothing(plant, server):
    with pytest.raises(ModelError, match=r"Cannot fetch .*/plant\.onnx: HTTP Error 404.*MILLSCALE_WEIGHTS"):
        download_backbone("plant", url=server[1])
    assert _fetched(plant) == []


def test_no_server_is_told_and_leaves_nothing(plant):
    with pytest.raises(ModelError, match=r"Cannot fetch .*Check the network"):
        download_backbone("plant", url="http://127.0.0.1:9/")
    assert _fetched(plant) == []


def test_a_cut_off_download_leaves_nothing(plant, server, tiny, monkeypatch):
    folder, url = server
    (folder / "plant.onnx").write_bytes(tiny.data)

    def cut_off(handler, source, target):
        target.write(source.read(100))
        target.flush()
        handler.close_connection = True
        handler.request.shutdown(2)

    monkeypatch.setattr(SimpleHTTPRequestHandler, "copyfile", cut_off)
    with pytest.raises(ModelError):
        download_backbone("plant", url=url)
    assert _fetched(plant) == []


def test_what_is_there_is_not_fetched_again(plant, tiny):
    (plant / "cache" / "weights").mkdir(parents=True)
    (plant / "cache" / "weights" / "plant.onnx").write_bytes(tiny.data)
    told = []
    assert download_backbone("plant", url="http://127.0.0.1:9/", report=told.append).is_file()
    assert told == []


def test_what_is_there_but_damaged_is_refused(plant):
    (plant / "cache" / "weights").mkdir(parents=True)
    (plant / "cache" / "weights" / "plant.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="Remove the file and run `millscale data fetch plant`"):
        download_backbone("plant", url="http://127.0.0.1:9/")


def test_the_packaged_backbone_needs_no_download():
    path = download_backbone("millscale_s", url="http://127.0.0.1:9/")
    assert path.parts[-3:] == ("features", "weights", "millscale_s.onnx")


def test_the_users_folder_comes_before_fetched_files(plant, tiny):
    (plant / "cache" / "weights").mkdir(parents=True)
    (plant / "cache" / "weights" / "plant.onnx").write_bytes(b"never looked at")
    (plant / "mine" / "plant.onnx").write_bytes(tiny.data)
    assert open_backbones("plant")[0].digest == spec_of("plant").sha256


def test_a_missing_backbone_is_told_and_nothing_stands_in(plant):
    with pytest.raises(ModelError) as caught:
        open_backbones("plant")
    message = str(caught.value)
    assert "expected plant.onnx in $MILLSCALE_WEIGHTS or among the fetched files" in message
    for place in (plant / "mine", plant / "cache" / "weights"):
        assert str(place) in message
    assert "millscale data fetch plant" in message


def test_a_backbone_that_is_not_the_published_one_is_refused(plant, tiny):
    (plant / "mine" / "plant.onnx").write_bytes(tiny.data + b"\x00")
    with pytest.raises(ModelError, match="expected the published plant with sha256"):
        open_backbones("plant")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnt18", "Unknown backbone 'resnt18'. Did you mean 'resnet18'?"),
        ("millscale_s+resnt18", "Did you mean 'resnet18'?"),
        ("", "Unknown backbone ''."),
        ("millscale_s+", "Unknown backbone ''."),
    ],
)
def test_an_unknown_name_is_answered(name, message):
    with pytest.raises(UsageError) as caught:
        open_backbones(name)
    assert message in str(caught.value)


def test_a_path_that_holds_nothing(tmp_path):
    with pytest.raises(ModelError, match=r"Backbone file .*mine\.onnx: expected an ONNX file, found none"):
        open_backbones(str(tmp_path / "mine.onnx"))


def test_a_file_that_is_no_network(tmp_path):
    (tmp_path / "mine.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError, match="this network is refused"):
        open_backbones(str(tmp_path / "mine.onnx"))


def test_a_path_opens_the_file_as_it_is(tiny_path, tiny):
    (backbone,) = open_backbones(str(tiny_path))
    assert (backbone.spec.name, backbone.spec.outputs, backbone.spec.sha256) == ("tiny", (), None)
    assert backbone.digest == hashlib.sha256(tiny.data).hexdigest()


def test_joined_backbones_come_in_order(tiny_path):
    assert [b.spec.name for b in open_backbones(f"millscale_s + {tiny_path}")] == ["millscale_s", "tiny"]
