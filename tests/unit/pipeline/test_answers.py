import pytest

from millscale.core.errors import DataError, UsageError
from millscale.data.manifest import ImageRecord, Manifest
from millscale.pipeline.answers import Answers, apply, copy_labelled, read_answers, read_known

KNOWN = {"a.png": "Patches", "b.png": "Scratches"}


def test_answers_are_added_and_nothing_is_lost():
    applied = apply(Answers({"c.png": "Patches", "a.png": "Patches"}, {}), KNOWN)
    assert applied.labels == {**KNOWN, "c.png": "Patches"}
    assert (applied.added, applied.changed) == (("c.png",), ())
    again = apply(Answers({"c.png": "Patches"}, {}), applied.labels)
    assert (again.labels, again.added, again.changed) == (applied.labels, (), ())


def test_a_labels_file_with_more_to_lose_is_left_alone(tmp_path):
    (tmp_path / "labels.csv").write_text("image,label,coil\na.png,Patches,7\n")
    with pytest.raises(DataError, match="found also coil, which would be lost"):
        read_known(tmp_path / "labels.csv", None, Answers({}, {}))


def test_a_contradiction_is_refused_unless_asked_for():
    answers = Answers({"b.png": "Patches", "c.png": "Patches"}, {})
    with pytest.raises(DataError, match=r"b.png \('Scratches', now 'Patches'\).*Nothing was changed"):
        apply(answers, KNOWN)
    applied = apply(answers, KNOWN, replace=True)
    assert applied.labels["b.png"] == "Patches"
    assert applied.changed == ("b.png",)


def test_a_correction_of_the_label_that_was_checked_is_no_contradiction():
    corrected = Answers({"b.png": "Patches"}, {"b.png": "Scratches"})
    assert apply(corrected, KNOWN).changed == ("b.png",)
    with pytest.raises(DataError, match=r"b.png \('Crazing', now 'Patches'\)"):
        apply(corrected, {"b.png": "Crazing"})


@pytest.mark.parametrize("name", ["patches", "Patche", "Pacthes", "scratches ", "SCRATCHES", "Scratchs"])
def test_a_slip_of_the_pen_is_refused_with_what_was_meant(name):
    with pytest.raises(UsageError, match="nearly '(Patches|Scratches)'.*--new-class"):
        apply(Answers({"c.png": name.strip() if name.endswith(" ") else name}, {}), KNOWN)


@pytest.mark.parametrize("name", ["Crazing", "Patch_2", "oxide", "Batches of dirt"])
def test_another_name_is_a_new_class(name):
    assert apply(Answers({"c.png": name}, {}), KNOWN).labels["c.png"] == name


def test_numbered_classes_are_not_slips():
    assert len(apply(Answers({"1": "kind_1", "2": "kind_2", "3": "kind_12"}, {}), {}).labels) == 3


def test_among_new_names_the_rare_one_is_the_slip():
    answers = Answers({"1": "inclusion", "2": "inclusions", "3": "inclusion"}, {})
    with pytest.raises(UsageError, match=r"found 'inclusions' \(1 of 3 answers\), which is nearly 'inclusion'"):
        apply(answers, {})
    assert set(apply(answers, {}, new_class=True).labels.values()) == {"inclusion", "inclusions"}


@pytest.mark.parametrize(
    ("text", "suggestions", "labels", "was"),
    [
        ("image,label,suggestion,confidence,reason\na,rust,pit,0.9,x\nb,,pit,0.8,x\n", False, {"a": "rust"}, {}),
        ("image,label,suggestion,confidence,reason\na,rust,pit,0.9,x\nb,,pit,0.8,x\nc,,,,x\n", True,
         {"a": "rust", "b": "pit"}, {}),
        ("image,label,suggestion,score\na,rust,pit,0.9\n", True, {"a": "pit"}, {"a": "rust"}),
        ("image,label\n", True, {}, {}),
    ],
)  # fmt: skip
def test_what_a_list_says(tmp_path, text, suggestions, labels, was):
    (tmp_path / "filled.csv").write_text(text)
    assert read_answers(tmp_path / "filled.csv", None, suggestions=suggestions) == Answers(labels, was)


def test_doubted_labels_are_no_answers(tmp_path):
    (tmp_path / "suspects.csv").write_text("image,label,suggestion,score\na,rust,pit,0.9\n")
    with pytest.raises(UsageError, match="--suggestions"):
        read_answers(tmp_path / "suspects.csv", None)


@pytest.mark.parametrize("name", ["../evil", "a/b", "a\\b", ".hidden"])
def test_a_class_must_be_able_to_name_a_folder(name):
    with pytest.raises(DataError, match="name a folder"):
        apply(Answers({"a": name}, {}), {})


def test_two_answers_for_one_image_are_refused(tmp_path):
    (tmp_path / "filled.csv").write_text("image,label\na,rust\na,pit\n")
    with pytest.raises(DataError, match="found 'rust' and 'pit' for a"):
        read_answers(tmp_path / "filled.csv", None)


@pytest.fixture
def images(tmp_path):
    files = [tmp_path / "data" / name for name in ("rust/1.png", "rust/2.png", "pit/1.png")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(str(file).encode())
    records = tuple(ImageRecord(f"{f.parent.name}/{f.name}", f, f.parent.name) for f in files)
    return Manifest(records, ("pit", "rust"), str(tmp_path / "data"))


def test_images_are_known_by_their_data_set(tmp_path, images):
    file = tmp_path / "filled.csv"
    file.write_text("image,label\n2.png,pit\n")
    assert read_answers(file, images).labels == {"rust/2.png": "pit"}
    file.write_text("image,label\nlost.png,pit\n")
    with pytest.raises(DataError, match=r"found lost.png, which it lacks"):
        read_answers(file, images)


def test_corrections_start_from_the_labels_of_the_folders(tmp_path, images):
    new = tmp_path / "labels.csv"
    assert read_known(new, images, Answers({}, {"rust/1.png": "rust"})) == {r.id: r.label for r in images.records}
    assert read_known(new, images, Answers({"rust/1.png": "rust"}, {})) == {}


def test_labelled_images_are_copied_into_folders(tmp_path, images):
    out = tmp_path / "out"
    assert copy_labelled({"rust/1.png": "pit", "pit/1.png": "pit"}, images, out) == 2
    assert {file.relative_to(out).as_posix() for file in out.rglob("*.*")} == {"pit/00000_1.png", "pit/00001_1.png"}
    assert (out / "pit" / "00000_1.png").read_bytes() == images.records[0].path.read_bytes()
    with pytest.raises(UsageError, match="expected a new or empty folder"):
        copy_labelled({}, images, out)


@pytest.mark.parametrize("label", ["../elsewhere", "pit/deep", "/away"])
def test_a_label_that_no_folder_can_be_called_by_copies_nothing(tmp_path, label):
    (tmp_path / "1.png").write_bytes(b"1")
    images = Manifest((ImageRecord("1.png", tmp_path / "1.png"),), (), str(tmp_path))
    with pytest.raises(DataError, match="expected class names that folders can have"):
        copy_labelled({"1.png": label}, images, tmp_path / "deep" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["1.png"]
