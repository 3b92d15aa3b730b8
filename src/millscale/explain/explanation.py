"""An explanation: the target, its map, and how far the map can be believed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millscale.explain.faithfulness import Faithfulness
from millscale.explain.target import Target


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why the model says what it says of one target.

    Attributes:
        target: what is explained.
        heat: ``(H, W)`` float32 in [0, 1], of the original image; read-only. 1 is where seeing helps the target most,
            0 where it helps least or speaks against it. All zero where nothing made a difference.
        faithfulness: of the map, measured on the same model.
    """

    target: Target
    heat: NDArray[np.float32]
    faithfulness: Faithfulness

    def __post_init__(self) -> None:
        heat = np.array(self.heat, np.float32)
        heat.setflags(write=False)
        object.__setattr__(self, "heat", heat)

    @property
    def words(self) -> str:
        """One sentence on how far the map can be believed."""
        test = self.faithfulness
        numbers = (
            f"deletion {test.deletion:.3f} (random {test.random_deletion:.3f}), "
            f"insertion {test.insertion:.3f} (random {test.random_insertion:.3f})"
        )
        if test.better:
            return f"{numbers}: better than {_every(test.random)}"
        return f"{numbers}: NO better than random ({test.beaten} of {test.random} beaten), do not rely on this map"

    def to_json(self) -> dict[str, Any]:
        """The numbers, without the map."""
        target, test = self.target, self.faithfulness
        place = None if target.xyxy is None else [round(value, 1) for value in target.xyxy]
        return {
            "target": {"label": target.label, "score": round(target.score, 4), "xyxy": place},
            "deletion": round(test.deletion, 4),
            "insertion": round(test.insertion, 4),
            "random": {
                "deletion": round(test.random_deletion, 4),
                "insertion": round(test.random_insertion, 4),
                "maps": test.random,
                "beaten": test.beaten,
            },
            "better_than_random": test.better,
        }


def _every(count: int) -> str:
    return f"all {count} random maps" if count > 1 else "a random map"
