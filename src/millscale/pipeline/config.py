"""What decides a training: written to ``run.json``, read back by ``--config``, and set by ``--set``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from millscale.core import plugins
from millscale.core.errors import UsageError, unknown_name
from millscale.runtime.card import Costs

RECIPES = "millscale.pipeline.recipes"
USUAL = {"classify": "probe", "detect": "detect", "anomaly": "anomaly"}
"""The recipe of a task, where none is named."""
USUAL_OF_FEW = {**USUAL, "classify": "semi"}
"""Likewise, where only a part of the images is labelled."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training; ``run.json`` keeps it and ``--config`` repeats it.

    Attributes:
        data: the folder of images.
        recipe: a registered recipe's name; None takes the usual one of the task.
        task: "classify", "detect" or "anomaly"; None reads it off the recipe, or else off the labels.
        skip_bad: leave out the images whose annotations cannot be used, instead of stopping.
        options: the recipe's options by name; those left out keep their defaults.
        folds: number of folds made here, 3 or more.
        split: a split file whose folds are used instead, or None.
        seed: of the folds and of everything random in the recipe.
        costs: of each mistake, which choose the verdicts; see `Costs`.
        good_classes: classes that are no defect; None takes those with a usual name, such as "good".
        name: of the bundle; by default the data folder's.
        licence_notes: the terms of the data, for the card; the backbone's own terms are added.
        unknown_rate: share of known images that a classifier may call unknown, in (0, 0.5].
        labels: a labels file (``image,label``) that says all that is known of the images; None takes the folder's.
    """

    data: str
    recipe: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    folds: int = 5
    split: str | None = None
    seed: int = 0
    costs: Costs = field(default_factory=lambda: Costs.model_validate({}))
    good_classes: tuple[str, ...] | None = None
    name: str | None = None
    licence_notes: str = ""
    task: str | None = None
    skip_bad: bool = False
    unknown_rate: float = 0.01
    labels: str | None = None

    def __post_init__(self) -> None:
        if self.split is None and self.folds < 2:
            raise UsageError(f"folds: expected 3 or more, 2 where a recipe can do with them, found {self.folds}.")
        if self.task is not None and self.task not in USUAL:
            raise unknown_name("task", self.task, USUAL)
        if not 0 < self.unknown_rate <= 0.5:
            raise UsageError(f"unknown_rate: expected more than 0 and at most 0.5, found {self.unknown_rate}.")
        if self.seed < 0:
            raise UsageError(f"seed: expected 0 or more, found {self.seed}.")
        if self.name is not None and (not self.name or self.name != Path(self.name).name or self.name.startswith(".")):
            raise UsageError(f"name: expected one that can name a file, found '{self.name}'.")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "options": dict(self.options), "costs": self.costs.model_dump()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "TrainConfig":
        """Read back what ``to_json`` wrote.

        Raises:
            UsageError: an unknown field, a missing one, or one of the wrong kind.
        """
        unknown = set(document) - {entry.name for entry in fields(cls)}
        if unknown:
            raise unknown_name("training option", min(unknown), (entry.name for entry in fields(cls)))
        values = dict(document)
        try:
            if "costs" in values:
                values["costs"] = Costs.model_validate(values["costs"])
            if values.get("good_classes") is not None:
                values["good_classes"] = tuple(values["good_classes"])
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise UsageError(f"Expected the config of a run.json, found another ({error}).") from error


def recipe_of(recipe: str | None, task: str, *, few: bool) -> str:
    """The recipe asked for, or the usual one of the task; ``few``: only a part of the images is labelled.

    Raises:
        UsageError: an unknown recipe, or one of another task.
    """
    if recipe is None:
        return (USUAL_OF_FEW if few else USUAL)[task]
    own = plugins.load(RECIPES, recipe).TASK
    if own != task:
        fitting = [name for name in plugins.names(RECIPES) if task == plugins.load(RECIPES, name).TASK]
        raise UsageError(
            f"Expected a recipe for the task '{task}' ({', '.join(fitting)}), found '{recipe}', which is for '{own}'. "
            f"Name another recipe, or give --task {own}."
        )
    return recipe


def recipe_config(recipe: str, options: Mapping[str, Any]) -> Any:
    """The recipe's frozen configuration with these options; strings are read as the field's type.

    Raises:
        UsageError: an unknown option, or a value of the wrong kind.
    """
    config = plugins.load(RECIPES, recipe).Config
    types = get_type_hints(config)
    values = {}
    for name, value in options.items():
        if name not in types:
            raise unknown_name(f"option of recipe '{recipe}'", name, types)
        values[name] = _parsed(name, value, types[name])
    return config(**values)


_SPOKEN = {bool: "true or false", int: "a whole number", float: "a number"}


def _parsed(name: str, value: Any, kind: Any) -> Any:
    if not isinstance(value, str) or kind is str:
        return value
    for choice in get_args(kind):  # of a Literal
        if value == str(choice):
            return choice
    choices = [choice for choice in get_args(kind) if isinstance(choice, type)] or [kind]
    for choice in choices:
        try:
            if choice is bool:
                return {"true": True, "false": False}[value.lower()]
            if choice in _SPOKEN:
                return choice(value)
        except (KeyError, ValueError):
            continue
    wanted = [_SPOKEN[choice] for choice in choices if choice in _SPOKEN]
    if wanted and str not in choices:
        raise UsageError(f"{name}: expected {' or '.join(wanted)}, found '{value}'.")
    return value
