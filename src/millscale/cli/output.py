"""Where words go: documents to standard output, everything a person watches to standard error."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from unicodedata import category

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from millscale.core.errors import MillscaleError, UsageError

if TYPE_CHECKING:
    from typer import Context

    from millscale.core.types import Problem

_ALIKE = 5
"""Problems of one kind that are told one by one."""
_OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, of invisible ones that order text, and of line ends."""
_QUIET_SECONDS = 5.0
"""How often progress is told where nobody sees a bar move, as in a log file."""


def refuse_given(context: "Context", names: Container[str], why: str) -> None:
    """Refuse options that were given and would change nothing.

    Args:
        context: the call.
        names: of the parameters.
        why: the beginning of the sentence.

    Raises:
        UsageError: one was given.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if str(parameter.name) in names and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{why}, found also {parameter.opts[0]}. Leave out one of them.")


def stderr() -> Console:
    """The console for people."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line for people."""
    stderr().print("\n".join(map(shown, text.split("\n"))), markup=False, emoji=False)


def shown(text: str) -> str:
    """The text with what a terminal would obey spelled out: names of files and classes may hold anything."""
    return "".join(ascii(one)[1:-1] if category(one) in _OBEYED else one for one in text)


def tell(problem: "Problem") -> None:
    """One line for people: what kind of problem, where, what, and what to do."""
    fix = problem.fix[:1].upper() + problem.fix[1:]
    say(f"{problem.code}: {problem.told}. {fix.rstrip('.')}.")


def tell_all(problems: "Iterable[Problem]") -> None:
    """The problems of a data set; of many alike, the first few."""
    counts: Counter[str] = Counter()
    for problem in problems:
        counts[problem.code] += 1
        if counts[problem.code] <= _ALIKE:
            tell(problem)
    for code, count in counts.items():
        if count > _ALIKE:
            say(f"{code}: {count - _ALIKE} more; `millscale data check DIR --json` lists them all.")


def emit(document: Mapping[str, Any]) -> None:
    """One JSON document, the only thing on standard output."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


@contextmanager
def failing_clearly(*, resumes: bool = False) -> Iterator[None]:
    """End the command with a message and the exit code of the error's kind, without a traceback.

    Args:
        resumes: what was finished is kept, and the same command goes on from there.
    """
    try:
        yield
    except MillscaleError as error:
        say(f"Error: {error}")
        sys.exit(error.exit_code)
    except ImportError as error:
        say(
            f"Error: this needs '{error.name}', which is not installed. "
            "Run `millscale doctor` to see which extra brings it."
        )
        sys.exit(2)
    except BrokenPipeError:  # who reads has seen enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(
            f"Error: {where}expected a file or folder that can be read and written, found: "
            f"{error.strerror or error}. Check the path, its permissions and the free space."
        )
        sys.exit(3)
    except KeyboardInterrupt:
        say(f"Interrupted.{' What was finished is kept; run the same command to go on.' if resumes else ''}")
        sys.exit(130)


class Watch:
    """Progress of long work: bars on a terminal, a line every few seconds elsewhere."""

    def __init__(self) -> None:
        console = stderr()
        self._live = console.is_terminal
        columns = (
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=console)
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._live:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bars.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Called by the work itself."""
        if self._live:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total)
            self._bars.update(self._tasks[what], completed=done, total=total)
        elif done == total or time.monotonic() - self._told.setdefault(what, time.monotonic()) > _QUIET_SECONDS:
            self._told[what] = time.monotonic()
            say(f"{what}: {done}/{total}" if total > 1 else what)
