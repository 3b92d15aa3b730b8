import json
import os
import shutil
import subprocess
import sys

import pytest

from millscale.cli.output import Watch, emit, failing_clearly, say, tell
from millscale.core.errors import DataError, ModelError, UsageError
from millscale.core.types import Problem


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (
            Problem("unreadable", "/d/a.bmp", "/d/a.bmp: expected an image.", "Replace it."),
            "unreadable: /d/a.bmp: expected an image. Replace it.",
        ),
        (
            Problem("empty_class", "rust", "no image", "add images"),
            "empty_class: rust: no image. Add images.",
        ),
    ],
)
def test_a_problem_is_one_line(capsys, problem, line):
    tell(problem)
    assert capsys.readouterr() == ("", line + "\n")


def test_words_are_never_markup_nor_wrapped(capsys):
    text = "[bold]file[/bold] [red].bmp :smile: " + "x" * 300
    say(text)
    assert capsys.readouterr().err == text + "\n"


def test_what_a_terminal_would_obey_is_spelled_out(capsys):
    say("red\x1b[2J\n傷\u3000ü\u202e")
    assert capsys.readouterr().err == "red\\x1b[2J\n傷\u3000ü\\u202e\n"


def test_a_reader_that_has_seen_enough_ends_the_work_quietly(trained, steel):
    words = [sys.executable, "-m", "millscale", "inspect", str(trained.bundle), *[str(steel.source)] * 20, "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_name_that_the_console_cannot_show_does_not_end_the_work(trained, steel, tmp_path):
    for name in (os.fsdecode(b"bad\xff.bmp"), "鋼.bmp"):
        shutil.copyfile(steel.records[0].path, tmp_path / name)
    words = [sys.executable, "-m", "millscale", "inspect", str(trained.bundle), f"{tmp_path}/*.bmp", "--json"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1:strict"}
    done = subprocess.run(words, capture_output=True, env=environment, check=True)
    found = [json.loads(line)["image"] for line in done.stdout.decode("utf-8").splitlines()]
    assert found == [f"{tmp_path}/{name}" for name in ("bad\udcff.bmp", "鋼.bmp")]


def test_a_document_is_one_line_of_json(capsys):
    emit({"a": "傷", "b": [1.5, None]})
    assert capsys.readouterr() == ('{"a": "傷", "b": [1.5, null]}\n', "")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("wrong"), 2, "Error: wrong\n"),
        (DataError("bad"), 3, "Error: bad\n"),
        (ModelError("odd"), 4, "Error: odd\n"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            2,
            (
                "Error: this needs 'torch', which is not installed. "
                "Run `millscale doctor` to see which extra brings it.\n"
            ),
        ),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_errors_end_with_their_code_and_a_line(capsys, error, code, message):
    with pytest.raises(SystemExit) as caught, failing_clearly():
        raise error
    assert caught.value.code == code
    assert capsys.readouterr() == ("", message)


def test_a_mistake_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), failing_clearly():
        raise ZeroDivisionError


def test_in_a_log_only_the_end_of_quick_work_is_told(capsys):
    with Watch() as watch:
        for done in range(1, 6):
            watch("features", done, 5)
        watch("folds", 1, 5)
        watch("ahead: much work", 1, 1)
    assert capsys.readouterr() == ("", "features: 5/5\nahead: much work\n")
