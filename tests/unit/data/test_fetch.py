import http.server
import shutil
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.core.errors import DataError, UsageError
from millscale.data.classes import NEU_CLASSES
from millscale.data.fetch import SOURCES, fetch, unpack

SPELLED = {
    "Cr": "Crazing",
    "In": "Inclusion",
    "Pa": "Patches",
    "PS": "Pitted",
    "RS": "Rolled",
    "Sc": "Scratches",
}
CLS_ROOT, DET_ROOT = "NEU Metal Surface Defects Data", "NEU-DET"


def split_of(i: int) -> str:
    return "train" if i <= 276 else "valid" if i <= 288 else "test"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both archives with the folders and names that the real ones have, at 6 x 300 tiny pictures."""
    root = tmp_path_factory.mktemp("published")
    picture, xml = root / "p.bmp", root / "a.xml"
    PIL.Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(picture)
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>"
    xml.write_text(f"<annotation><object><name>crazing</name>{box}</object></annotation>")
    with zipfile.ZipFile(root / "neu-cls.zip", "w") as archive:
        for short, long in SPELLED.items():
            for i in range(1, 301):
                archive.write(picture, f"{CLS_ROOT}/{split_of(i)}/{long}/{short}_{i}.bmp")
    with zipfile.ZipFile(root / "neu-det.zip", "w") as archive:
        for name in NEU_CLASSES:
            for i in range(1, 301):
                split = "train" if i <= 240 else "validation"
                archive.write(picture, f"{DET_ROOT}/{split}/images/{name}/{name}_{i}.jpg")
                astray = (name, i) == ("crazing", 240)
                archive.write(xml, f"{DET_ROOT}/{'validation' if astray else split}/annotations/{name}_{i}.xml")
    return root


@pytest.fixture(scope="module")
def server(published: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(published))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def from_server(server: str, folder: Path, slug: str) -> Path:
    name = next(name for name, source in SOURCES.items() if source.slug == slug)
    target = folder / "download.zip"
    with urllib.request.urlopen(f"{server}/{name}.zip") as response, target.open("wb") as file:
        shutil.copyfileobj(response, file)
    return target


def never(slug: str) -> Path:
    raise AssertionError(slug)


def test_neu_cls_becomes_six_class_folders(server: str, tmp_path: Path) -> None:
    target = tmp_path / "data" / "neu-cls"
    manifest = fetch("neu-cls", target, downloader=partial(from_server, server, tmp_path))
    assert manifest.class_counts == dict.fromkeys(NEU_CLASSES, 300)
    assert sorted(path.name for path in target.iterdir()) == list(NEU_CLASSES)
    assert [path.name for path in target.parent.iterdir()] == ["neu-cls"]
    again = fetch("neu-cls", target, downloader=never)
    assert again.fingerprint == manifest.fingerprint
    (target / "crazing/Cr_7.bmp").unlink()
    with pytest.raises(DataError, match="'crazing': 299"):
        fetch("neu-cls", target, downloader=never)


def test_neu_det_becomes_images_and_annotations(server: str, tmp_path: Path) -> None:
    target = tmp_path / "neu-det"
    manifest = fetch("neu-det", target, downloader=partial(from_server, server, tmp_path))
    assert manifest.class_counts == dict.fromkeys(NEU_CLASSES, 300)
    assert sum(len(record.boxes) for record in manifest.records if record.boxes) == 1800
    assert sorted(path.name for path in target.iterdir()) == ["ANNOTATIONS", "IMAGES"]
    assert (target / "ANNOTATIONS/crazing_240.xml").exists()


def test_a_folder_is_taken_as_downloaded(published: Path, tmp_path: Path) -> None:
    unpack(published / "neu-cls.zip", tmp_path / "kaggle")
    manifest = fetch("neu-cls", tmp_path / "out", downloader=lambda slug: tmp_path / "kaggle")
    assert len(manifest) == 1800
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "kaggle" / CLS_ROOT / "train/Pitted/PS_9.bmp").write_bytes(b"BM")
    with pytest.raises(DataError, match="'pitted_surface': 299"):
        fetch("neu-cls", tmp_path / "out", downloader=lambda slug: tmp_path / "kaggle")
    assert [path.name for path in tmp_path.iterdir()] == ["kaggle"]


def test_unknown_name_and_foreign_destination(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'neu-cls'"):
        fetch("neu-class", tmp_path, downloader=never)
    (tmp_path / "thesis.txt").write_text("text")
    with pytest.raises(DataError):
        fetch("neu-cls", tmp_path, downloader=never)
    assert (tmp_path / "thesis.txt").exists()


def test_kagglehub_is_called_with_the_slug(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = published / "neu-cls.zip"
    (tmp_path / "kagglehub.py").write_text(
        "def dataset_download(handle):\n"
        "    assert handle == 'fantacher/neu-metal-surface-defects-data'\n"
        f"    return {str(archive)!r}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "kagglehub", raising=False)
    assert len(fetch("neu-cls", tmp_path / "out")) == 1800


def test_without_network_or_kagglehub_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = __import__("sys").modules
    (tmp_path / "kagglehub.py").write_text("def dataset_download(handle):\n    raise ConnectionError('no route')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(modules, "kagglehub", raising=False)
    with pytest.raises(DataError, match=r"no route.*Check the network"):
        fetch("neu-cls", tmp_path / "out")
    monkeypatch.setitem(modules, "kagglehub", None)
    with pytest.raises(UsageError, match=r"pip install \"millscale\[fetch\]\""):
        fetch("neu-cls", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("member", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:/evil.txt"])
def test_no_member_leaves_the_folder(member: str, tmp_path: Path) -> None:
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("good.txt", "text")
        content.writestr(member, "text")
    with pytest.raises(DataError, match="Do not trust"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.zip"]


def test_bomb_and_non_zip_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("a", "text")
    declared = archive.read_bytes()
    size = (4).to_bytes(4, "little")
    entry = declared.index(b"PK\x01\x02")
    huge = declared[entry:].replace(size, (2**32 - 2).to_bytes(4, "little"))
    archive.write_bytes(declared[:entry] + huge)
    with pytest.raises(DataError, match="bytes unpacked"):
        unpack(archive, tmp_path / "out")
    archive.write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match="expected a zip"):
        unpack(archive, tmp_path / "out")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "damaged.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr("a.txt", "text" * 500)
    data = bytearray(archive.read_bytes())
    data[35:45] = b"\xff" * 10  # the member's first compressed bytes
    archive.write_bytes(bytes(data))
    with pytest.raises(DataError, match="expected a zip"):
        unpack(archive, tmp_path / "out")
