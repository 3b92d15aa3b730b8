import os
import threading
from pathlib import Path

import pytest

from millscale.core.files import whole, write_whole


def spoil(path: Path) -> None:
    with whole(path) as partial:
        partial.write_text("half")
        raise KeyError


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new/one.txt"
    write_whole(path, "first\n")
    with pytest.raises(KeyError):
        spoil(path)
    assert path.read_text() == "first\n"
    write_whole(path, "ä".encode())
    assert path.read_text(encoding="utf-8") == "ä"
    assert [file.name for file in path.parent.iterdir()] == ["one.txt"]


def test_a_link_leads_where_it_did(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("before")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    write_whole(tmp_path / "link.txt", "after")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "after"


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_a_pipe_is_written_into_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    write_whole(pipe, "said")
    reader.join(10)
    assert heard == ["said"]
    assert pipe.is_fifo()
