"""Writing files so that an earlier one is whole until the new one is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what becomes ``path``: a file beside it, which takes its place in one step at the end.

    Folders are made. A link goes on leading where it did, and what is no file, such as a pipe, is written into. Where
    the writing fails, nothing is left of it.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")  # of its own: another process may write the same
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write ``content``, text as UTF-8, as `whole` says."""
    with whole(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
