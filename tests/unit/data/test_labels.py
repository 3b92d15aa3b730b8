from pathlib import Path
from unicodedata import normalize

import numpy as np
import PIL.Image
import pytest

from millscale.core.errors import DataError
from millscale.data.labels import read_labels, with_labels, write_labels
from millscale.data.read import read


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full((40, 40), 90, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two class folders; "x.png" is in both."""
    for name in ("crack/c1.png", "crack/c2.png", "crack/x.png", "rust/r1.png", "rust/x.png"):
        picture(tmp_path / "images" / name)
    return tmp_path / "images"


@pytest.fixture
def flat(tmp_path):
    for name in ("1.png", "2.png", "3.png"):
        picture(tmp_path / "flat" / name)
    return tmp_path / "flat"


def labels_of(folder: Path, text: str) -> dict[str, str]:
    file = folder.parent / "few.csv"
    file.write_text(text, encoding="utf-8")
    return read_labels(file, read(folder))


@pytest.mark.parametrize(
    "text",
    [
        "image,label\ncrack/c1.png,crack\nr1.png,rust\n",
        "\ufeffImage;Label;note\ncrack\\c1.png; crack ;sure\n./rust/r1.png;rust;\n",
        "label,suggestion,image\nrust,,r1.png\ncrack,rust,crack/c1.png\n,rust,c2.png\n",
        "image,label\nc1.png,crack\nc1.png,crack\n\nr1.png,rust\nrust/x.png\n",
    ],
)
def test_an_image_is_named_by_its_path_or_its_name(folder, text):
    assert labels_of(folder, text) == {"crack/c1.png": "crack", "rust/r1.png": "rust"}


def test_an_image_may_be_named_by_where_it_is(folder):
    text = f"image,label\n{folder / 'crack' / 'c1.png'},crack\nr1.png,rust\n"
    assert labels_of(folder, text) == {"crack/c1.png": "crack", "rust/r1.png": "rust"}


def test_images_without_class_folders_take_the_classes_of_the_file(flat):
    assert labels_of(flat, "image,label\n2.png,dent\n1.png,rust\n") == {"1.png": "rust", "2.png": "dent"}


def test_folders_that_share_no_name_with_the_file_are_no_classes(folder):
    assert labels_of(folder, "image,label\nc1.png,dent\nr1.png,stain\n") == {
        "crack/c1.png": "dent",
        "rust/r1.png": "stain",
    }


def test_the_short_names_of_neu_are_understood(tmp_path):
    for name in ("crazing/crazing_1.png", "patches/patches_1.png"):
        picture(tmp_path / "neu" / name)
    found = labels_of(tmp_path / "neu", "image,label\ncrazing_1.png,Cr\npatches_1.png,Pa\n")
    assert set(found.values()) == {"crazing", "patches"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image,label\nnone.png,crack\nr1.png,rust\n", "none.png, which it lacks"),
        ("image,label\na,crack\nb,crack\nc,crack\nd,crack\n", "a, b, c and 1 more"),
        ("image,label\nc1.png,crck\nr1.png,rust\nc2.png,crack\n", "Did you mean 'crack'"),
        ("image,label\nc1.png,crack\ncrack/c1.png,rust\nr1.png,rust\n", "'crack' and 'rust' for crack/c1.png"),
        ("image,label\nc1.png,crack\n", "none for rust"),
        ("image,label\nx.png,crack\nr1.png,rust\n", "may be crack/x.png and rust/x.png"),
        ("image,label\n", "at least two classes, found none"),
        ("c1.png,crack\n", "found 'c1.png,crack'"),
        ('image,label\nc1.png,crack\n"r1.png,rust\nc2.png,crack\n', "expected a CSV file"),
        ("", "image,label"),
    ],
)
def test_what_is_wrong_is_told(folder, text, told):
    with pytest.raises(DataError) as error:
        labels_of(folder, text)
    assert told in str(error.value)


def test_one_class_alone_is_refused(flat):
    with pytest.raises(DataError, match="'dent' alone"):
        labels_of(flat, "image,label\n1.png,dent\n2.png,dent\n")


def test_a_file_that_is_missing_or_no_text_is_told(folder, tmp_path):
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("none.csv", "bad.csv"):
        with pytest.raises(DataError, match=name):
            read_labels(tmp_path / name, read(folder))


@pytest.mark.parametrize(("written", "given"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_may_be_one_character_or_two(tmp_path, written, given):
    for name in ("fêlure", "rayé"):
        folder = tmp_path / "data" / normalize(written, name)
        folder.mkdir(parents=True)
        picture(folder / normalize(written, f"pièce {name}.png"))
    rows = "".join(f"pièce {name}.png,{name}\n" for name in ("fêlure", "rayé"))
    found = labels_of(tmp_path / "data", normalize(given, f"image,label\n{rows}"))
    assert set(found.values()) == {normalize(written, name) for name in ("fêlure", "rayé")}
    assert all((tmp_path / "data" / name).is_file() for name in found)


def test_only_the_labels_of_the_file_remain(folder):
    images = with_labels(read(folder), {"crack/c1.png": "crack", "rust/x.png": "rust"})
    assert [record.label for record in images.records] == ["crack", None, None, None, "rust"]
    assert images.classes == ("crack", "rust")


def test_written_labels_are_read_back(folder, tmp_path):
    labels = {"crack/c1.png": "crack", "rust/x.png": "rust"}
    write_labels(tmp_path / "out.csv", labels)
    assert read_labels(tmp_path / "out.csv", read(folder)) == labels
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("name", ["a\nb.png", "a\u2028b.png", "a,b;c.png", 'a"b.png'])
def test_any_name_of_a_file_is_read_back(tmp_path, name):
    picture(tmp_path / "set/crack" / name)
    picture(tmp_path / "set/rust/1.png")
    given = {f"crack/{name}": "crack", "rust/1.png": "rust"}
    write_labels(tmp_path / "labels.csv", given)
    assert read_labels(tmp_path / "labels.csv", read(tmp_path / "set")) == given


@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled"])
def test_an_unlabelled_folder_is_no_class(folder, name):
    picture(folder / name / "u1.png")
    images = read(folder)
    assert images.classes == ("crack", "rust")
    assert [record.label for record in images.records if record.id.lower().startswith("unlab")] == [None]
    assert not images.problems or all("unlab" not in problem.path.lower() for problem in images.problems)
