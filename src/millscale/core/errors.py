"""Every error the project raises on purpose, as one small tree.

    MillscaleError          exit code 1, never raised itself
    ├── UsageError          2   the call was wrong: an unknown name, a missing option
    ├── DataError           3   the images or labels cannot be used as they are
    └── ModelError          4   a bundle, a backbone or a network cannot be used

A message says what was expected, what was found and what to do next.
"""

import difflib
from collections.abc import Iterable


class MillscaleError(Exception):
    """Base of the tree; ``exit_code`` is what the command line returns."""

    exit_code = 1


class UsageError(MillscaleError):
    """The call itself was wrong."""

    exit_code = 2


class DataError(MillscaleError):
    """Images, labels or annotations cannot be used as they are."""

    exit_code = 3


class ModelError(MillscaleError):
    """A bundle, a backbone or a network cannot be used."""

    exit_code = 4


def unknown_name(kind: str, name: str, available: Iterable[str]) -> UsageError:
    """The error for a name that is not registered, with the nearest one that is."""
    names = sorted(available)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return UsageError(f"Unknown {kind} '{name}'.{hint} Available: {', '.join(names) or 'none'}.")
