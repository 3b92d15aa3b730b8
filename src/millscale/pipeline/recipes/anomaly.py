"""An anomaly scorer fitted on good images alone: no torch, about a minute on two cores."""

from millscale.learn.anomalies import AnomalyConfig as Config
from millscale.learn.anomalies import train_anomaly as run

TASK = "anomaly"
DESCRIPTION = "what is unlike good images; fitted on good images alone, no torch"

__all__ = ["DESCRIPTION", "TASK", "Config", "run"]
