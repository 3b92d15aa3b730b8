"""The arrays of a bundle, which are untrusted like all of it."""

from collections.abc import Mapping
from io import BytesIO
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import ModelError


def read_array(members: Mapping[str, bytes], name: str) -> NDArray[Any]:
    """A member of a bundle as an array, of any shape and dtype.

    Raises:
        ModelError: there is none, or it is no plain NumPy array.
    """
    try:
        return np.asarray(np.lib.format.read_array(BytesIO(members[name]), allow_pickle=False))
    except (KeyError, ValueError, TypeError, OSError, EOFError, SyntaxError, TokenError, ArithmeticError) as error:
        found: Exception = error
    except (MemoryError, RecursionError) as error:
        found = error
    raise ModelError(f"Bundle: expected {name} as a plain NumPy array, found none ({found}). Copy the bundle again.")


def npy(array: NDArray[np.generic]) -> bytes:
    """An array as a member of a bundle."""
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
