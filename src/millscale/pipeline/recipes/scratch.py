"""The baseline: a small network trained from random weights."""

from millscale.learn.recipe import Task, Trained
from millscale.train.config import ScratchConfig as Config
from millscale.train.installed import require_train_floor

TASK = "classify"
DESCRIPTION = "a small network from random weights, the baseline; needs torch, minutes on two cores"

__all__ = ["DESCRIPTION", "TASK", "Config", "run"]


def run(task: Task, config: Config) -> Trained:
    """Train the small network; see ``millscale.train.classifier.train_classifier``."""
    require_train_floor()
    from millscale.train.classifier import Start, train_classifier

    return train_classifier(task, config, Start("small_cnn"))
