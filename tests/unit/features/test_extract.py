from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from millscale.core.errors import DataError
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.read import read
from millscale.features.backbone import open_backbones
from millscale.features.extract import averaged, extract
from millscale.imaging.preprocess import Preprocess


@pytest.fixture
def backbone(tiny_path):
    return open_backbones(str(tiny_path))


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSCALE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def few(steel):
    return replace(steel, records=steel.records[::12])


def test_every_image_has_its_row_in_order(few, backbone, tiny):
    features = extract(few, backbone, Preprocess())
    (rows,) = features.chunks()
    assert rows.shape == (6, 8, tiny.dimensions)
    assert features.dimensions == tiny.dimensions
    for views in (1, 2, 4, 8):
        expected = averaged(rows, views)[[4, 0, 4], 0]
        assert (features.rows([4, 0, 4], views=views) == expected).all()


def test_an_image_has_the_same_features_alone_and_in_company(few, backbone):
    (together,) = extract(few, backbone, Preprocess()).chunks()
    alone = extract(few.select([few.ids[3]]), backbone, Preprocess("resize", (96, 96)))  # a cache of its own
    assert (next(alone.chunks())[0] == together[3]).all()


def test_the_second_time_nothing_is_computed(few, backbone):
    told = []
    first = np.concatenate(list(extract(few, backbone, Preprocess()).chunks()))
    again = extract(few, backbone, Preprocess(), progress=lambda *step: told.append(step))
    assert told == []
    assert (np.concatenate(list(again.chunks(size=4))) == first).all()


def test_an_image_is_known_by_its_content_wherever_it_lies(few, backbone, tmp_path):
    extract(few, backbone, Preprocess())
    copy = tmp_path / "elsewhere.bmp"
    copy.write_bytes(few.records[0].path.read_bytes())
    told = []
    moved = Manifest((ImageRecord("elsewhere.bmp", copy),), (), str(tmp_path))
    extract(moved, backbone, Preprocess(), progress=lambda *step: told.append(step))
    assert told == []


def test_another_working_size_is_computed_anew(few, backbone):
    (native,) = extract(few, backbone, Preprocess()).chunks()
    (half,) = extract(few, backbone, Preprocess("fit", (48, 48))).chunks()
    assert not np.allclose(native, half, atol=1e-3)


def test_an_interruption_costs_only_what_was_in_flight(steel, backbone):
    def interrupt(what, done, total):
        assert (what, total) == ("features", 72)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(steel, backbone, Preprocess(), progress=interrupt)
    told = []
    extract(steel, backbone, Preprocess(), progress=lambda *step: told.append(step))
    assert told == [("features", 32, 40), ("features", 40, 40)]


def test_a_file_damaged_behind_its_header_is_left_out_and_told(few, backbone, tmp_path):
    for record in few.records:
        folder = tmp_path / "data" / str(record.label)
        folder.mkdir(parents=True)
        (folder / record.path.name).write_bytes(record.path.read_bytes())
    bad = tmp_path / "data" / few.records[2].id
    bad.write_bytes(bad.read_bytes()[:-900])
    features = extract(read(tmp_path / "data"), backbone, Preprocess())
    assert len(features.manifest) == 5
    (problem,) = [problem for problem in features.manifest.problems if problem.code == "unreadable"]
    assert (problem.path, problem.blocking) == (few.records[2].id, True)
    assert len(next(features.chunks())) == 5


def test_an_image_of_one_pixel_has_features_too(tmp_path, backbone):
    PIL.Image.new("L", (1, 1), 90).save(tmp_path / "a.png")
    manifest = Manifest((ImageRecord("a.png", tmp_path / "a.png"),), (), str(tmp_path))
    (rows,) = extract(manifest, backbone, Preprocess()).chunks()
    assert np.isfinite(rows).all()


def test_when_nothing_can_be_decoded_it_is_refused(tmp_path, backbone, few):
    whole = few.records[0].path.read_bytes()
    path = tmp_path / "a.bmp"
    path.write_bytes(whole[:-900])
    manifest = Manifest((ImageRecord("a.bmp", path, "x"),), ("x",), str(tmp_path))
    with pytest.raises(DataError, match="expected images, found 1 files that cannot be decoded"):
        extract(manifest, backbone, Preprocess())


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        (1, [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15]]),
        (2, [[0.5, 2.5, 4.5, 6.5], [8.5, 10.5, 12.5, 14.5]]),
        (4, [[1.5, 5.5], [9.5, 13.5]]),
        (8, [[3.5], [11.5]]),
    ],
)
def test_views_are_averaged_in_their_order(views, expected):
    features = np.arange(16, dtype=np.float32).reshape(2, 8, 1)
    assert averaged(features, views)[..., 0].tolist() == expected
