from pathlib import Path

import pytest

from millscale.core.paths import cache_dir


@pytest.mark.parametrize(
    ("chosen", "xdg", "expected"),
    [
        ("/data/cache", "/home/me/.cache", "/data/cache/features"),
        (None, "/home/me/other", "/home/me/other/millscale/features"),
        (None, None, "~/.cache/millscale/features"),
        ("", "", "~/.cache/millscale/features"),
        ("~/mine", None, "~/mine/features"),
    ],
)
def test_the_cache_is_where_the_user_says(monkeypatch, chosen, xdg, expected):
    for name, value in (("MILLSCALE_CACHE", chosen), ("XDG_CACHE_HOME", xdg)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert cache_dir("features") == Path(expected).expanduser()
