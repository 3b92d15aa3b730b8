"""Is the train floor installed?"""

from importlib.util import find_spec

from millscale.core.errors import UsageError

PACKAGES = ("torch", "torchvision", "safetensors", "onnx", "sklearn", "scipy")


def require_train_floor() -> None:
    """Refuse to go on without the packages that training a network needs.

    Raises:
        UsageError: names what is missing and the command that installs it.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"Training a network: expected {', '.join(PACKAGES)}, found no {', '.join(missing)}. Run "
            '`pip install "millscale[train]"`, or choose --recipe probe, which needs no torch.'
        )
