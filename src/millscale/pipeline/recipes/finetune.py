"""The whole of a pretrained network trained with augmentation: needs torch, minutes on two cores."""

from millscale.learn.recipe import Task, Trained
from millscale.train.config import FinetuneConfig as Config
from millscale.train.installed import require_train_floor

TASK = "classify"
DESCRIPTION = "a pretrained network trained as a whole; needs torch, minutes on two cores"

__all__ = ["DESCRIPTION", "TASK", "Config", "run"]


def run(task: Task, config: Config) -> Trained:
    """Fine-tune ``config.network``; see ``millscale.train.classifier.train_classifier``."""
    require_train_floor()
    from millscale.train.classifier import Start, train_classifier

    return train_classifier(task, config, Start(config.network, config.frozen, config.head_first))
