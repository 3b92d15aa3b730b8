"""Interrupted at any moment and run again, a training ends as if nothing had happened."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

COMMAND = """
import signal
from millscale.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""A suite that runs in the background hands down that interrupts are ignored."""


@pytest.fixture
def words(steel):
    return ["train", steel.source, "--set", "head=lda", "--folds", "3", "--json", "--name", "strip"]


def stored(cache):
    """Images whose features are on disk."""
    for path in (cache / "features").glob("*.sqlite"):
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                return connection.execute("SELECT count(*) FROM rows").fetchone()[0]
        except sqlite3.OperationalError:
            return 0
    return 0


def start_and_stop(words, cache, out, sign, *, reached):
    """Runs the command in a process of its own and sends it ``sign`` once ``reached()``."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words, "--out", str(out)],
        env={**os.environ, "MILLSCALE_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not reached() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(sign)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def test_a_training_goes_on_where_it_was_and_ends_bit_identical(words, millscale, tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSCALE_CACHE", str(tmp_path / "whole cache"))
    assert millscale(*words, "--out", tmp_path / "whole").code == 0
    cache, out = tmp_path / "cache", tmp_path / "out"

    code, output, errors = start_and_stop(words, cache, out, signal.SIGINT, reached=lambda: stored(cache) > 0)
    assert (code, output) == (130, "")
    assert "Interrupted. What was finished is kept; run the same command to go on." in errors
    kept = stored(cache)
    assert 0 < kept < 72
    assert not (out / "strip.millscale").exists()

    code, output, _ = start_and_stop(words, cache, out, signal.SIGKILL, reached=lambda: stored(cache) > kept)
    assert (code, output) == (-signal.SIGKILL, "")
    assert stored(cache) >= kept + 8
    assert not (out / "run.json").exists()

    monkeypatch.setenv("MILLSCALE_CACHE", str(cache))
    assert millscale(*words, "--out", out).code == 0
    for name in ("strip.millscale", "split.json", "predictions.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
