"""A linear head on frozen features: no torch, about a minute on two cores."""

from millscale.learn.probe import ProbeConfig as Config
from millscale.learn.probe import train_probe as run

TASK = "classify"
DESCRIPTION = "linear head on frozen features; no torch, a minute on two cores"

__all__ = ["DESCRIPTION", "TASK", "Config", "run"]
