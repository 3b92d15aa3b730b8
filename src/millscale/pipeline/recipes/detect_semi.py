"""A detector from few drawn boxes and many images without any: needs torch, twice the time of ``detect``."""

from millscale.learn.recipe import Task, TrainedDetector
from millscale.train.config import SemiDetectorConfig as Config
from millscale.train.installed import require_train_floor

TASK = "detect"
DESCRIPTION = "a detector from few annotated images and many that are not; needs torch, twice the time of detect"
UNLABELLED = True

__all__ = ["DESCRIPTION", "TASK", "UNLABELLED", "Config", "run"]


def run(task: Task, config: Config) -> TrainedDetector:
    """Train a teacher, then its student; see ``millscale.train.semi_detector.train_semi_detector``."""
    require_train_floor()
    from millscale.train.semi_detector import train_semi_detector

    return train_semi_detector(task, config)
