import sqlite3
from contextlib import closing

import numpy as np
import pytest

from millscale.core.errors import DataError
from millscale.features.cache import FeatureCache

SHAPE = (2, 3)


def row(value: float) -> np.ndarray:
    return np.full(SHAPE, value, np.float32)


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "deep" / "f.sqlite", SHAPE)


@pytest.mark.parametrize(
    ("stored", "asked", "missing"),
    [
        ([], [], []),
        ([], ["a", "b"], [0, 1]),
        (["a"], ["a", "b"], [1]),
        (["a", "b"], ["b", "a"], []),
        ([], ["a", "b", "a", "c", "b"], [0, 1, 3]),  # each image once, at its first place
        (["b"], ["a", "b", "a", "b"], [0]),
    ],
)
def test_missing_names_each_absent_image_once(cache, stored, asked, missing):
    cache.store((name, row(0)) for name in stored)
    assert cache.missing(asked) == missing


@pytest.mark.parametrize("chunk", [1, 2, 256])
def test_rows_come_back_in_the_order_asked_for(cache, chunk):
    cache.store([("a", row(1.5)), ("b", row(2)), ("c", row(-3))])
    found = list(cache.read(["c", "a", "c", "b", "a"], chunk=chunk))
    assert [len(part) for part in found] == {1: [1] * 5, 2: [2, 2, 1], 256: [5]}[chunk]
    assert np.concatenate(found)[:, 1, 2].tolist() == [-3, 1.5, -3, 2, 1.5]
    assert found[0].shape[1:] == SHAPE
    assert found[0].dtype == np.float32


def test_what_is_stored_first_stays(cache):
    cache.store([("a", row(1))])
    cache.store([("a", row(2)), ("b", row(3))])
    assert next(cache.read(["a", "b"]))[:, 0, 0].tolist() == [1, 3]


def test_an_interrupted_transaction_keeps_what_came_before_it(cache):
    def interrupted():
        yield "b", row(2)
        raise KeyboardInterrupt

    cache.store([("a", row(1))])
    with pytest.raises(KeyboardInterrupt):
        cache.store(interrupted())
    assert cache.missing(["a", "b"]) == [1]
    cache.store([("b", row(4))])
    assert next(cache.read(["b"]))[0, 0, 0] == 4


def test_rows_survive_the_process_that_wrote_them(tmp_path):
    first = FeatureCache(tmp_path / "f.sqlite", SHAPE)
    first.store([("a", row(7))])
    again = FeatureCache(tmp_path / "f.sqlite", SHAPE)
    assert next(again.read(["a"]))[0].tolist() == row(7).tolist()


def test_two_runs_share_one_file(tmp_path, cache):
    other = FeatureCache(tmp_path / "deep" / "f.sqlite", SHAPE)
    cache.store([("a", row(1))])
    other.store([("a", row(1)), ("b", row(2))])
    assert cache.missing(["a", "b", "c"]) == [2]


def test_a_damaged_file_is_told_with_what_to_do(tmp_path):
    path = tmp_path / "f.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE rows (hash TEXT PRIMARY KEY, data BLOB)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", [(f"{n:064}", row(n).tobytes()) for n in range(500)])
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(DataError, match=f"{path}: expected this program's own cache .* Delete the file"):
        FeatureCache(path, SHAPE).missing(["a"])
