"""Rows on disk, divided by a hash: what belongs together can be read back together, a part at a time."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

PARTS = 64
BUFFER_ROWS = 1 << 20


class Spill:
    """A bag of structured rows that keeps at most a buffer of them in memory.

    A context manager: its temporary files are removed on leaving. Nothing is written before the buffer is
    full, so small data sets never touch the disk.
    """

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._dtype = dtype
        self._folder = tempfile.TemporaryDirectory(prefix="millscale-audit-")
        self._rows: list[NDArray[np.void]] = []
        self._parts: list[NDArray[np.uint8]] = []
        self._buffered = 0
        self._spilled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def add(self, rows: NDArray[np.void], hashes: NDArray[np.uint64]) -> None:
        """Enter rows; those of equal hash will be in the same part."""
        self._rows.append(rows)
        self._parts.append((hashes >> np.uint64(58)).astype(np.uint8))
        self._buffered += len(rows)
        if self._buffered >= BUFFER_ROWS:
            self._write()

    def parts(self) -> Iterator[NDArray[np.void]]:
        """All rows, part after part; one part only where nothing had to be written."""
        if not self._spilled:
            yield np.concatenate(self._rows) if self._rows else np.empty(0, self._dtype)
            return
        self._write()
        for part in range(PARTS):
            yield np.fromfile(self._file(part), self._dtype)

    def _write(self) -> None:
        if not self._rows:
            return
        rows, part = np.concatenate(self._rows), np.concatenate(self._parts)
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange(PARTS + 1))
        for i in range(PARTS):
            with self._file(i).open("ab") as file:
                file.write(rows[order[bounds[i] : bounds[i + 1]]].tobytes())
        self._rows, self._parts, self._buffered, self._spilled = [], [], 0, True

    def _file(self, part: int) -> Path:
        return Path(self._folder.name) / f"{part:02d}.rows"
