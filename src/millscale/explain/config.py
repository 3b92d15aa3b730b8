"""How much work goes into an explanation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from millscale.core.errors import UsageError

Fill = Literal["blur", "mean"]
FILLS: tuple[Fill, ...] = ("blur", "mean")
Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it is, and how much it is in all."""

_LEAST_MASKS = 16


@dataclass(frozen=True)
class ExplainConfig:
    """How an explanation is made.

    Attributes:
        masks: random masks, each one an inspection of the image; even, for they come in opposite pairs. More of them
            take the noise out of the map.
        cells: of a mask along the longer side of the image. The map shows nothing finer than a cell.
        fill: what stands where a mask hides: "blur" keeps the brightness of the place and takes its texture away,
            "mean" is the image's mean colour, which also adds edges that no image of steel has.
        steps: of the deletion and of the insertion curve.
        random: maps of no meaning that every map is compared with.
        seed: of the masks and of the random maps.
    """

    masks: int = 400
    cells: int = 8
    fill: Fill = "blur"
    steps: int = 10
    random: int = 9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.masks < _LEAST_MASKS or self.masks % 2:
            raise UsageError(f"masks: expected an even number of at least {_LEAST_MASKS}, found {self.masks}.")
        if self.fill not in FILLS:
            raise UsageError(f"fill: expected one of {', '.join(FILLS)}, found {self.fill!r}.")
        for name, least in (("cells", 2), ("steps", 2), ("random", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name}: expected at least {least}, found {getattr(self, name)}.")
