"""The card of a bundle: what the model is, what it saw, how good it is, how it decides.

Pydantic checks it when a bundle is opened, because a bundle is untrusted input.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from millscale.core.errors import ModelError
from millscale.imaging.preprocess import Preprocess

SCHEMA_VERSION: Literal[1] = 1
_LONGEST_SIDE = 4096
"""Pixels; a card that asks for more would fill the memory with one image."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
MemberName = Annotated[str, Field(pattern=r"^[a-z0-9_]+\.(onnx|npy|png)$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Part(_Strict):
    """One network of the bundle and its task."""

    task: Literal["classify"]
    file: MemberName


class Costs(_Strict):
    """What each outcome costs, in any one unit; only their ratios matter.

    Attributes:
        escape: a defective piece passed.
        overkill: a good piece rejected.
        mislabel: a defective piece rejected under the wrong defect name.
        review: a person looks.
    """

    escape: float = Field(10.0, ge=0)
    overkill: float = Field(1.0, ge=0)
    mislabel: float = Field(1.0, ge=0)
    review: float = Field(0.2, ge=0)


class Calibration(_Strict):
    """How scores were made into probabilities; already inside the graph."""

    method: Literal["temperature"]
    temperature: float = Field(gt=0)
    fitted_on: str


class Golden(_Strict):
    """An image that travels with the bundle and the answer it must give."""

    file: MemberName
    probs: tuple[Probability, ...]
    tolerance: float = Field(1e-3, gt=0, le=0.01)


class Card(_Strict):
    """``card.json``: everything about a bundle but its arrays.

    Attributes:
        conformal: miscoverage → threshold on ``1 - p``: a class is in the set where ``1 - p <= threshold``.
        metrics: as ``evaluate --json`` writes them, measured on ``protocol``.
        sha256: of every other member, hexadecimal.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    millscale_version: str
    parts: tuple[Part, ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=2)
    good_classes: tuple[str, ...] = ()
    preprocess: dict[str, Any]
    calibration: Calibration
    costs: Costs = Costs.model_validate({})
    conformal: dict[str, float] = {}
    golden: Golden
    protocol: str
    metrics: dict[str, Any]
    dataset: dict[str, Any]
    provenance: dict[str, Any]
    licence_notes: str
    sha256: dict[MemberName, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]

    @field_validator("preprocess")
    @classmethod
    def _can_be_applied(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            size = Preprocess.from_json(value).size
        except ModelError as error:
            raise ValueError(str(error)) from error
        if size is not None and not all(isinstance(n, int) and n <= _LONGEST_SIDE for n in size):
            raise ValueError(f"expected whole sides of at most {_LONGEST_SIDE} pixels, found {size}")
        return value

    @model_validator(mode="after")
    def _belongs_together(self) -> "Card":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("expected every class once")
        if not set(self.good_classes) <= set(self.classes):
            raise ValueError(f"expected good classes among {self.classes}, found {self.good_classes}")
        if len(self.golden.probs) != len(self.classes):
            raise ValueError(f"expected {len(self.classes)} golden probabilities, found {len(self.golden.probs)}")
        return self
