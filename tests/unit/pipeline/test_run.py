import json
import shutil

import PIL.Image
import pytest

import millscale as ms
from millscale.core.errors import UsageError
from millscale.pipeline.audited import audited
from millscale.pipeline.run import deviations, read_run, write_json


def silent(what, done, total):
    pass


@pytest.mark.parametrize("place", ["run.json", "."])
def test_a_run_is_read_from_its_file_or_its_folder(tmp_path, place):
    write_json(tmp_path / "run.json", {"config": {"recipe": "probe"}, "note": "süß"})
    assert read_run(tmp_path / place) == {"config": {"recipe": "probe"}, "note": "süß"}
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"config": 3}', '{"config": {}}'])
def test_another_file_is_no_run(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UsageError, match=r"run\.json: expected a run\.json written by `millscale train`"):
        read_run(tmp_path)


def test_an_audit_is_remembered_whole_and_only_for_the_same_images(steel, tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSCALE_CACHE", str(tmp_path))
    told = []
    first = audited(steel, lambda *step: told.append(step))
    assert told
    again = audited(steel, lambda *step: pytest.fail("audited anew"))
    assert again.to_json() == first.to_json()
    assert again.groups == first.groups
    told.clear()
    audited(steel.select(steel.ids[1:]), lambda *step: told.append(step))
    assert told


def test_an_audit_is_remembered_with_the_groups_that_the_images_came_with(steel, tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSCALE_CACHE", str(tmp_path))
    coils = steel.with_groups({name: f"coil {i % 4}" for i, name in enumerate(steel.ids)})
    for images in (steel, coils, steel):
        assert audited(images, silent).groups == ms.check(images).groups
    assert len(set(audited(coils, silent).groups.values())) <= 4


def test_a_damaged_audit_is_made_again(steel, tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSCALE_CACHE", str(tmp_path))
    whole = audited(steel, silent).to_json()
    (stored,) = (tmp_path / "audits").iterdir()
    for damage in (stored.read_bytes()[:50], b"[]", b"{}"):
        stored.write_bytes(damage)
        assert audited(steel, silent).to_json() == whole


def test_a_remembered_audit_tells_of_the_folder_as_it_is_now(steel, tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSCALE_CACHE", str(tmp_path / "cache"))
    shutil.copytree(steel.source, tmp_path / "images")
    bad = tmp_path / "images" / steel.ids[0]
    bad.write_bytes(bad.read_bytes()[:-500])
    PIL.Image.new("L", (96, 96)).save(tmp_path / "images" / steel.ids[1])
    told = [problem.code for problem in audited(ms.read(tmp_path / "images"), silent).problems]
    assert told == ["unreadable_image", "blank_image"]
    (tmp_path / "images" / "rust").mkdir()
    (tmp_path / "images" / "patches" / "new.bmp").write_bytes(b"")
    changed = ms.read(tmp_path / "images")
    again = audited(changed, lambda *step: pytest.fail("audited anew"))
    assert again.to_json() == ms.check(changed).to_json()
    codes = ["blank_image", "empty_class", "unreadable", "unreadable_image"]
    assert sorted(problem.code for problem in again.problems) == codes
    assert again.classes["rust"] == 0


def test_a_notebook_trains_judges_and_inspects(steel, tiny_path, tmp_path, trained):
    images = ms.read(steel.source)
    audit = ms.check(images)
    folds = ms.split(images, folds=3, groups=audit.groups, seed=2)
    run = ms.train(images, folds=folds, options={"backbone": str(tiny_path), "head": "lda"}, out=tmp_path / "run")
    assert run.split.folds == folds.folds
    assert run.metrics.images == 72
    assert set(run.to_json()) == {"run", "bundle", "metrics", "seconds"}
    assert run.report(tmp_path / "elsewhere.html").is_file()
    saved = run.bundle.save(tmp_path / "strip.millscale")
    assert saved.read_bytes() == run.bundle_path.read_bytes()
    inspector = ms.Inspector.open(saved)
    prediction = inspector.inspect(steel.records[0].path)
    assert inspector.decide(prediction).label in steel.classes
    document = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert document["config"]["options"] == {"backbone": str(tiny_path), "head": "lda"}


def test_other_images_and_another_start_are_told():
    first = {"dataset": {"fingerprint": "a"}, "trained": {"start": {"name": "before", "sha256": "1"}}}
    assert deviations(first, first) == []
    assert deviations(first, first | {"trained": {"start": {"name": "before", "sha256": "2"}}}) == [
        "the bundle to go on from is not the one"
    ]
    assert deviations({"dataset": {"fingerprint": "b"}}, first) == [
        "these are not the images",
        "the bundle to go on from is not the one",
    ]
