"""A linear head from few labels and many unlabelled images: no torch, a minute on two cores."""

from millscale.learn.semi import SemiConfig as Config
from millscale.learn.semi import train_semi as run

TASK = "classify"
DESCRIPTION = "linear head from few labels and many unlabelled images; no torch, a minute on two cores"
UNLABELLED = True

__all__ = ["DESCRIPTION", "TASK", "UNLABELLED", "Config", "run"]
