"""Images that have nothing in common raise no alarm, whatever their texture."""

import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millscale.data.audit import check
from millscale.data.audit.groups import name_groups
from millscale.data.manifest import ImageRecord, Manifest

SIDE = 80


def texture(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Independent noise over one of the backgrounds that look alike in every image."""
    y, x = np.mgrid[:SIDE, :SIDE]
    noise = rng.normal(0, 6, (SIDE, SIDE))
    background = {
        "noise": noise * 6 + 128,
        "flat": np.full((SIDE, SIDE), 200.0),
        "saturated": np.where(x < 60, 255.0, 128 + noise * 4),
        "stripes": 128 + 60 * np.sin(x / 3) + noise,
        "checks": 128 + 60 * np.sign(np.sin(x / 4) * np.sin(y / 4)) + noise,
        "scratch": 60 + noise + 150 * (abs(x - 40) < 3),
    }[kind]
    if kind == "flat":
        background[:6, :6] = rng.integers(0, 256, (6, 6))
    return np.clip(background, 0, 255).astype(np.uint8)


@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(["noise", "flat", "saturated", "stripes", "checks", "scratch"]),
    seed=st.integers(0, 2**32 - 1),
    ending=st.sampled_from(["png", "jpg"]),
)
@example(kind="checks", seed=0, ending="png")
def test_no_false_alarm(kind: str, seed: int, ending: str) -> None:
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        records = []
        for i in range(4):
            path = Path(folder) / f"{i}.{ending}"
            PIL.Image.fromarray(texture(kind, rng)).save(path)
            records.append(ImageRecord(path.name, path, "steel"))
        audit = check(Manifest(tuple(records), ("steel",), folder))
    assert not audit.overlaps
    assert not audit.second_exposures
    assert not audit.near_duplicates


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60), st.randoms())
def test_groups_do_not_depend_on_the_order_of_edges(edges: list[tuple[int, int]], random: object) -> None:
    ids = [f"{i:02d}" for i in range(31)]
    named = [(ids[a], ids[b]) for a, b in edges]
    shuffled = [(b, a) for a, b in named]
    random.shuffle(shuffled)
    groups = name_groups(ids, named)
    assert groups == name_groups(ids, shuffled)
    assert all(groups[a] == groups[b] for a, b in named)
    assert all(groups[name] <= name and groups[groups[name]] == groups[name] for name in ids)
