"""The line that goes with every number must be true of the split that was used."""

import shutil
from dataclasses import replace

import pytest

import millscale as ms
from millscale.core.errors import DataError
from millscale.data.split import Split
from millscale.pipeline.api import train


def interleaved(images: ms.Manifest, folds: int = 3) -> Split:
    """Every third image: overlapping neighbours are torn apart."""
    parts = tuple(images.ids[k::folds] for k in range(folds))
    return Split(images.ids, (), (), parts, groups=len(images))


def test_a_given_split_that_leaks_is_called_so(steel, tiny_path, tmp_path):
    folds = interleaved(steel)
    options = {"backbone": str(tiny_path), "head": "lda"}
    run = train(steel, folds=folds, task="classify", options=options, out=tmp_path / "run")
    home = {name: k for k, fold in enumerate(folds.folds) for name in fold}
    pairs = [(o.a, o.b) for o in (*run.audit.overlaps, *run.audit.second_exposures)]
    leaking = len({name for pair in pairs for name in pair if home[pair[0]] != home[pair[1]]})
    assert leaking > 20
    told = f"{leaking} of 72 judged images share pixels with a training image"
    assert told in run.bundle.card.protocol
    assert "kept together" not in run.bundle.card.protocol
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "These figures are too good" in page
    assert "48 images" in page


def test_an_image_in_two_folds_is_refused(steel, tiny_path, tmp_path):
    given = interleaved(steel)
    twice = replace(given, folds=(given.folds[0] + given.folds[1][:1], *given.folds[1:]))
    with pytest.raises(DataError, match=r"hold each of the 72 images once, found 1 that it lacks, adds or repeats"):
        train(steel, folds=twice, task="classify", options={"backbone": str(tiny_path)}, out=tmp_path / "run")


def test_a_split_may_list_files_that_cannot_be_used(steel, tiny_path, tmp_path):
    shutil.copytree(steel.source, tmp_path / "images")
    bad = tmp_path / "images" / steel.ids[5]
    bad.write_bytes(bad.read_bytes()[:-500])
    images = ms.read(tmp_path / "images")
    folds = ms.split(images, folds=3, groups=ms.check(images).groups)
    assert steel.ids[5] in {name for fold in folds.folds for name in fold}
    run = train(images, folds=folds, options={"backbone": str(tiny_path), "head": "lda"}, out=tmp_path / "run")
    assert run.metrics.images == 71


def test_a_fold_of_a_split_without_labelled_images_is_none(steel, tiny_path, tmp_path):
    folds = interleaved(steel, 4)
    bare = tuple(replace(r, label=None) if r.id in folds.folds[1] else r for r in steel.records)
    images, options = replace(steel, records=bare), {"backbone": str(tiny_path), "head": "lda"}
    run = train(images, folds=folds, recipe="probe", options=options, out=tmp_path / "run")
    assert run.metrics.images == 54
    assert run.bundle.card.protocol.startswith("3-fold cross-validation")
    assert run.table.fold.tolist() == run.split.fold_of(run.table.ids).tolist()
    two = replace(folds, folds=(folds.folds[0] + folds.folds[2] + folds.folds[3], folds.folds[1]))
    with pytest.raises(DataError, match=r"expected at least 2 folds with images to learn from, found 1 among 2"):
        train(images, folds=two, recipe="probe", options=options, out=tmp_path / "two")
