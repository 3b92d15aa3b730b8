"""Features on disk by content: computed once for an image, whatever folder or run it turns up in.

One SQLite file for each extractor. A transaction is all or nothing, so an interrupted run keeps what it
finished, and two runs may share the file.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class FeatureCache:
    """Rows of ``(views, dimensions)`` float32, each under its image's content hash."""

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.shape = shape
        self._connection = sqlite3.connect(path, timeout=60)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("CREATE TABLE IF NOT EXISTS rows (hash TEXT PRIMARY KEY, data BLOB)")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def missing(self, hashes: Sequence[str]) -> list[int]:
        """Positions in ``hashes`` of the first occurrence of each image that is not stored."""
        known = {row[0] for row in self._connection.execute("SELECT hash FROM rows")}
        first = {digest: position for position, digest in reversed(list(enumerate(hashes)))}
        return sorted(position for digest, position in first.items() if digest not in known)

    def store(self, rows: Iterable[tuple[str, NDArray[np.float32]]]) -> None:
        """Keep these rows; all of them or none."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR IGNORE INTO rows VALUES (?, ?)",
                ((digest, np.ascontiguousarray(row, np.float32).tobytes()) for digest, row in rows),
            )

    def read(self, hashes: Sequence[str], *, chunk: int = 256) -> Iterator[NDArray[np.float32]]:
        """Stored rows in the order of ``hashes``, ``(<= chunk, views, dimensions)`` at a time."""
        for start in range(0, len(hashes), chunk):
            yield np.stack([self._row(digest) for digest in hashes[start : start + chunk]])

    def _row(self, digest: str) -> NDArray[np.float32]:
        (data,) = self._connection.execute("SELECT data FROM rows WHERE hash = ?", (digest,)).fetchone()
        return np.frombuffer(data, np.float32).reshape(self.shape)
