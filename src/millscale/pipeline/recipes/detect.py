"""A detector trained on drawn boxes: needs torch, hours on two cores or minutes on a GPU."""

from millscale.learn.recipe import Task, TrainedDetector
from millscale.train.config import DetectorConfig as Config
from millscale.train.installed import require_train_floor

TASK = "detect"
DESCRIPTION = "a detector trained on drawn boxes; needs torch, 35 ms an image and epoch on two cores, or a GPU"

__all__ = ["DESCRIPTION", "TASK", "Config", "run"]


def run(task: Task, config: Config) -> TrainedDetector:
    """Train ``config.detector``; see ``millscale.train.detector.train_detector``."""
    require_train_floor()
    from millscale.train.detector import train_detector

    return train_detector(task, config)
