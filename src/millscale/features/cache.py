"""Features on disk by content: computed once for an image, whatever folder or run it turns up in.

One SQLite file for each extractor. A transaction is all or nothing, so an interrupted run keeps what it
finished, and two runs may share the file.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError


class FeatureCache:
    """Rows of ``(views, dimensions)`` float32, each under its image's content hash.

    Raises:
        DataError: here and in every method, the file is damaged or cannot be written.
    """

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.shape, self._path = shape, path
        with self._told():
            self._connection = sqlite3.connect(path, timeout=60)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("CREATE TABLE IF NOT EXISTS rows (hash TEXT PRIMARY KEY, data BLOB)")

    def missing(self, hashes: Sequence[str]) -> list[int]:
        """Positions in ``hashes`` of the first occurrence of each image that is not stored."""
        with self._told():
            known = {row[0] for row in self._connection.execute("SELECT hash FROM rows")}
        first = {digest: position for position, digest in reversed(list(enumerate(hashes)))}
        return sorted(position for digest, position in first.items() if digest not in known)

    def store(self, rows: Iterable[tuple[str, NDArray[np.float32]]]) -> None:
        """Keep these rows; all of them or none."""
        with self._told(), self._connection:
            self._connection.executemany(
                "INSERT OR IGNORE INTO rows VALUES (?, ?)",
                ((digest, np.ascontiguousarray(row, np.float32).tobytes()) for digest, row in rows),
            )

    def read(self, hashes: Sequence[str], *, chunk: int = 256) -> Iterator[NDArray[np.float32]]:
        """Stored rows in the order of ``hashes``, ``(<= chunk, views, dimensions)`` at a time."""
        for start in range(0, len(hashes), chunk):
            with self._told():
                rows = [self._row(digest) for digest in hashes[start : start + chunk]]
            yield np.stack(rows)

    def _row(self, digest: str) -> NDArray[np.float32]:
        found = self._connection.execute("SELECT data FROM rows WHERE hash = ?", (digest,)).fetchone()
        if found is None or len(found[0]) != 4 * self.shape[0] * self.shape[1]:
            raise sqlite3.DatabaseError(f"the row of {digest} is missing or damaged")
        return np.frombuffer(found[0], np.float32).reshape(self.shape)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise DataError(f"{self._path}: {error}: another run writes it. Wait for that, or end it.") from error
            raise DataError(
                f"{self._path}: expected this program's own cache of features, found: {error}. Delete the file, or free"
                " some space: what it held is computed again."
            ) from error
