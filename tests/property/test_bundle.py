"""Whatever the bytes, a bundle is opened as it was written or refused in words."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millscale.core.errors import ModelError
from millscale.runtime.bundle import open_bundle
from millscale.runtime.onnx_audit import check_onnx

quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def whole(trained):
    return trained.bundle.read_bytes()


def opened(data: bytes, folder: Path):
    """The bundle, or None where it is refused; any other error fails the test."""
    path = folder / "a.millscale"
    path.write_bytes(data)
    try:
        return open_bundle(path)
    except ModelError:
        return None


@quick
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_touches_nothing_that_counts(whole, tmp_path, place, bit):
    position = int(place * len(whole))
    found = opened(whole[:position] + bytes([whole[position] ^ 1 << bit]) + whole[position + 1 :], tmp_path)
    if found is not None:
        assert found.members == opened(whole, tmp_path).members


@quick
@given(kept=st.floats(0, 1, exclude_max=True))
def test_a_part_of_a_bundle_is_refused(whole, tmp_path, kept):
    assert opened(whole[: int(kept * len(whole))], tmp_path) is None


@quick
@given(data=st.binary(max_size=300))
def test_noise_is_refused(data, tmp_path):
    assert opened(data, tmp_path) is None


@quick
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_changed_network_is_accepted_or_refused_in_words(tiny, place, value):
    position = int(place * len(tiny.data))
    changed = tiny.data[:position] + bytes([value]) + tiny.data[position + 1 :]
    refusal = "a.onnx: this network is refused"
    try:
        check_onnx(changed, "a.onnx")
    except ModelError as error:
        refusal = str(error)
    assert refusal.startswith("a.onnx: this network is refused")
