"""A pretrained network trained on few labels and on what it is sure of among many images without."""

from millscale.learn.recipe import Task, Trained
from millscale.train.config import FixmatchConfig as Config
from millscale.train.installed import require_train_floor

TASK = "classify"
DESCRIPTION = "a pretrained network trained on few labels and many images without; needs torch"
UNLABELLED = True

__all__ = ["DESCRIPTION", "TASK", "UNLABELLED", "Config", "run"]


def run(task: Task, config: Config) -> Trained:
    """Fine-tune ``config.network``; see ``millscale.train.fixmatch.train_fixmatch``."""
    require_train_floor()
    from millscale.train.fixmatch import train_fixmatch

    return train_fixmatch(task, config)
