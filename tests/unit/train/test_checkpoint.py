import pytest

torch = pytest.importorskip("torch")

from millscale.core.errors import ModelError  # noqa: E402
from millscale.train.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402


def test_tensors_and_facts_come_back_exactly(tmp_path):
    weight = torch.randn(2, 3, 3, 3).to(memory_format=torch.channels_last)
    tensors = {"strided": weight, "shared": weight, "scalar": torch.tensor(7.0), "half": weight.bfloat16()}
    save_checkpoint(tmp_path / "deep" / "a.safetensors", tensors, {"scores": [0.1, -1e300], "name": "é"})
    found, facts = load_checkpoint(tmp_path / "deep" / "a.safetensors")
    assert facts == {"scores": [0.1, -1e300], "name": "é"}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_a_failed_write_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"x": torch.ones(2)}, {"epoch": 1})
    with pytest.raises(TypeError):
        save_checkpoint(path, {"x": torch.zeros(2)}, {"epoch": object()})
    assert load_checkpoint(path)[1] == {"epoch": 1}
    assert torch.equal(load_checkpoint(path)[0]["x"], torch.ones(2))


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    torch.save({"x": torch.ones(2)}, path)
    with pytest.raises(ModelError, match="expected a training checkpoint, found"):
        load_checkpoint(path)


def test_a_cut_off_file_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"x": torch.ones(100)}, {})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match="Remove the file"):
        load_checkpoint(path)


@pytest.mark.parametrize("place", [b"17", b"epoch"])
def test_a_changed_byte_is_noticed(tmp_path, place):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"x": torch.frombuffer(bytearray(b"abc17def"), dtype=torch.float32)}, {"epoch": 1})
    written = path.read_bytes()
    assert written.count(place) == 1
    path.write_bytes(written.replace(place, place[::-1]))
    with pytest.raises(ModelError, match="other bytes than were written"):
        load_checkpoint(path)
