"""A bundle is untrusted: every spoiled one is refused with its reason before anything is run."""

import hashlib
import json
import zipfile

import numpy as np
import pytest

from millscale.core.errors import ModelError
from millscale.imaging.preprocess import Preprocess
from millscale.runtime.arrays import npy
from millscale.runtime.backends import onnxruntime
from millscale.runtime.bundle import SEEN, open_bundle
from millscale.runtime.inspector import Inspector


def test_a_saved_bundle_is_read_back_whole(colours, tmp_path):
    bundle = colours.bundle()
    found = open_bundle(bundle.save(tmp_path / "deep" / "a.millscale"))
    assert found.card == bundle.card
    assert found.members == bundle.members


def test_the_same_content_gives_the_same_bytes(colours, tmp_path):
    first = colours.bundle().save(tmp_path / "a.millscale").read_bytes()
    again = open_bundle(tmp_path / "a.millscale").save(tmp_path / "b.millscale").read_bytes()
    assert first == again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.millscale", "b.millscale"]


def test_members_are_stored_so_that_hashes_are_of_the_bytes_on_disk(colours, tmp_path):
    path = colours.bundle().save(tmp_path / "a.millscale")
    with zipfile.ZipFile(path) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.namelist() == ["card.json", "classifier.onnx", "golden.png"]
        card = json.loads(archive.read("card.json"))
        for name, digest in card["sha256"].items():
            assert hashlib.sha256(archive.read(name)).hexdigest() == digest


@pytest.fixture
def refused(colours, tmp_path, monkeypatch):
    """Writes a zip of (name, bytes) members; returns why `Inspector.open` refuses it, running nothing."""

    def run(*_, **__):
        raise AssertionError("a network was loaded before the bundle was verified")

    monkeypatch.setattr(onnxruntime, "Network", run)

    def spoil(members, compression=zipfile.ZIP_STORED):
        path = tmp_path / "spoiled.millscale"
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in members:
                archive.writestr(name, data)
        with pytest.raises(ModelError) as caught:
            Inspector.open(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    return spoil


@pytest.fixture
def parts(colours):
    """(name, bytes) members of a sound bundle; ``card`` changes the card's document."""

    def make(card=None, **members):
        bundle = colours.bundle()
        content = {**bundle.members, **members}
        document = {**bundle.card.model_dump(mode="json"), **(card or {})}
        return [("card.json", json.dumps(document).encode()), *content.items()]

    return make


_GOLDEN = {"file": "golden.png", "probs": [1, 0, 0]}
_SOUND = Preprocess().to_json()


def _hashed(name, data):
    return {name: hashlib.sha256(data).hexdigest()}


def test_compressed_members(parts, refused):
    assert "compressed members" in refused(parts(), zipfile.ZIP_DEFLATED)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(parts, refused):
    assert "not unique" in refused([*parts(), ("golden.png", b"another")])


def test_too_many_members(parts, refused):
    assert "too many" in refused([*parts(), *((f"extra_{i}.npy", b"") for i in range(40))])


def test_a_changed_member(parts, refused):
    message = refused(parts(**{"golden.png": b"something else"}))
    assert "golden.png is damaged (its sha256 differs)" in message


def test_a_member_that_the_card_does_not_know(parts, refused):
    assert "card and contents differ in extra.npy" in refused([*parts(), ("extra.npy", b"")])


@pytest.mark.parametrize("name", ["golden.png", "classifier.onnx"])
def test_a_member_that_is_absent(parts, refused, name):
    found = refused([entry for entry in parts() if entry[0] != name])
    assert f"card and contents differ in {name}" in found


@pytest.mark.parametrize("name", ["golden.png", "classifier.onnx"])
def test_a_needed_member_that_even_the_card_leaves_out(parts, refused, colours, name):
    hashes = {key: value for key, value in colours.bundle().card.sha256.items() if key != name}
    found = refused([entry for entry in parts({"sha256": hashes}) if entry[0] != name])
    assert f"{name} is missing" in found


@pytest.mark.parametrize(
    "name", ["../golden.png", "/etc/golden.png", "a/b.png", "..\\golden.png", "golden.PNG", "x.pkl"]
)
def test_names_that_reach_outside_or_are_of_another_kind(parts, refused, colours, name):
    hashes = {**colours.bundle().card.sha256, **_hashed(name, b"x")}
    assert "does not fit its schema at 'sha256." in refused([*parts({"sha256": hashes}), (name, b"x")])


def test_no_card(parts, refused):
    assert "found something else ('card.json')" in refused(parts()[1:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "expected card schema 1 or older, found 2. Upgrade millscale"),
        ({"schema_version": "1"}, "schema at 'schema_version'"),
        ({"classes": []}, "schema at 'classes'"),
        ({"classes": ["red", "red", "blue"]}, "expected every class once"),
        ({"classes": ["red", "green", "blue", "grey"]}, "expected 4 golden probabilities, found 3"),
        ({"good_classes": ["gren"]}, "expected good classes among"),
        ({"parts": []}, "schema at 'parts'"),
        ({"parts": [{"task": "classify", "file": "../classifier.onnx"}]}, "schema at 'parts.0.file'"),
        ({"parts": [{"task": "detonate", "file": "classifier.onnx"}]}, "schema at 'parts.0.task'"),
        ({"surprise": 1}, "schema at 'surprise'"),
        ({"golden": {"file": "golden.png", "probs": [2.0, 0.0, 0.0]}}, "schema at 'golden.probs.0'"),
        ({"golden": {**_GOLDEN, "tolerance": 1e9}}, "schema at 'golden.tolerance'"),
        ({"costs": {"escape": -1}}, "schema at 'costs.escape'"),
        ({"sha256": {"classifier.onnx": "00"}}, "schema at 'sha256.classifier.onnx'"),
        ({"preprocess": {"policy": "shrink"}}, "schema at 'preprocess'"),
        ({"preprocess": {**_SOUND, "policy": "resize", "size": [99999, 99999]}}, "at most 4096 pixels"),
        ({"preprocess": {**_SOUND, "policy": "resize", "size": [1.5, 40]}}, "whole sides"),
    ],
)  # fmt: skip
def test_a_card_that_does_not_fit(parts, refused, change, message):
    assert message in refused(parts(change))


@pytest.mark.parametrize("card", [b"", b"{", b"[1]", b"null", b"\xff\xfe"])
def test_a_card_that_is_no_json_object(parts, refused, card):
    found = refused([("card.json", card), *parts()[1:]])
    assert "expected a .millscale file" in found or "does not fit its schema" in found


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(200)])
def test_a_file_that_is_no_zip(tmp_path, content):
    path = tmp_path / "a.millscale"
    path.write_bytes(content)
    with pytest.raises(
        ModelError, match="expected a .millscale file written by `millscale train`, found something else"
    ):
        open_bundle(path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_bundle(colours, tmp_path, kept):
    whole = colours.bundle().save(tmp_path / "a.millscale").read_bytes()
    (tmp_path / "a.millscale").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ModelError, match="Copy the file again"):
        open_bundle(tmp_path / "a.millscale")


def test_every_flipped_byte_of_a_member_is_noticed(colours, tmp_path):
    path = colours.bundle().save(tmp_path / "a.millscale")
    whole = path.read_bytes()
    start = whole.index(b"classifier.onnx", whole.index(b"golden.png") + 400) + len("classifier.onnx")
    for position in range(start, start + 100, 9):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(ModelError):
            open_bundle(path)


def test_a_member_that_claims_to_be_huge(parts, refused, tmp_path, monkeypatch):
    monkeypatch.setattr("millscale.runtime.bundle._MAX_BYTES", 100)
    assert "when unpacked" in refused(parts())


@pytest.mark.parametrize("path", ["absent.millscale", "."])
def test_no_file(tmp_path, path):
    with pytest.raises(ModelError, match=r"expected a .millscale file, found none\. Check the path\."):
        open_bundle(tmp_path / path)


def test_a_network_that_would_be_refused_is_not_bundled(colours):
    nodes = colours.nodes()
    nodes[0].domain = "com.example"
    with pytest.raises(ModelError, match=r"classifier\.onnx: this network is refused"):
        colours.bundle(model=colours.model(nodes))


def test_a_hostile_network_in_a_sound_archive(parts, refused, colours):
    nodes = colours.nodes()
    nodes[3].op_type = "StringNormalizer"
    network = colours.model(nodes).SerializeToString()
    hashes = {**colours.bundle().card.sha256, **_hashed("classifier.onnx", network)}
    message = refused(parts({"sha256": hashes}, **{"classifier.onnx": network}))
    assert "operator 'StringNormalizer' is not on the allow-list" in message


def test_keys_of_another_kind_are_refused(colours):
    bundle = colours.bundle(**{SEEN: npy(np.array([1, 2], np.int64))})
    with pytest.raises(ModelError, match="expected seen.npy of uint64, found int64"):
        _ = bundle.seen
