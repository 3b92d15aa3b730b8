"""Parts of the real data sets, each audited once for all tests that look at it."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

import millscale as ms
from millscale.pipeline.audited import audited
from millscale.pipeline.summary import silent


class Real:
    """What lies in ``MILLSCALE_DATA``."""

    @staticmethod
    @cache
    def part(name: str, step: int) -> ms.Manifest:
        """Every so many-th image of a data set."""
        images = ms.read(Path(os.environ["MILLSCALE_DATA"]) / name)
        return images.select(images.ids[::step])

    @staticmethod
    def groups(images: ms.Manifest) -> Mapping[str, str]:
        """Which images share pixels."""
        return audited(images, silent).groups


@pytest.fixture(scope="session")
def real() -> type[Real]:
    """The real data sets; only for tests that are skipped without them."""
    return Real
