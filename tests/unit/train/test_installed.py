import sys

import pytest

from millscale.core.errors import UsageError
from millscale.train.installed import PACKAGES, require_train_floor


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch):
    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r'found no torch, torchvision, .*`pip install "millscale\[train\]"'):
        require_train_floor()


def test_an_installed_train_floor_is_accepted():
    for name in PACKAGES:
        pytest.importorskip(name)
    require_train_floor()
