import pytest

from millscale.data.classes import NEU_CLASSES, canonical_names, is_good, neu_class, original_stem, prefix_of

SPELLINGS = {
    "crazing": ["Cr", "crazing", "Crazing", "CRAZING"],
    "inclusion": ["In", "inclusion", "Inclusion"],
    "patches": ["Pa", "patches", "Patches"],
    "pitted_surface": ["PS", "Pitted", "pitted_surface", "pitted surface", "Pitted-Surface"],
    "rolled-in_scale": ["RS", "Rolled", "rolled-in_scale", "rolled_in_scale", "rolled-in scale"],
    "scratches": ["Sc", "scratches", "Scratches", "scratch"],
}


@pytest.mark.parametrize("canonical", NEU_CLASSES)
def test_every_spelling_is_known(canonical: str) -> None:
    assert {neu_class(spelling) for spelling in SPELLINGS[canonical]} == {canonical}


@pytest.mark.parametrize("name", ["surface scratch", "red iron", "good", "", "Crack", "slag inclusion"])
def test_other_names_are_no_neu_class(name: str) -> None:
    assert neu_class(name) is None


def test_names_change_only_where_every_class_is_a_neu_class() -> None:
    assert canonical_names(["Cr", "Rolled"]) == {"Cr": "crazing", "Rolled": "rolled-in_scale"}
    assert canonical_names(["Cr", "good"]) == {"Cr": "Cr", "good": "good"}
    assert canonical_names([]) == {}


@pytest.mark.parametrize(
    ("stem", "prefix"),
    [
        ("Cr_1", "Cr"),
        ("rolled-in_scale_256", "rolled-in_scale"),
        ("pitted_surface_3", "pitted_surface"),
        ("PS12", "PS"),
        ("ひび 7", "ひび"),
        ("photo", None),
        ("123", None),
    ],
)
def test_prefix_of_a_numbered_name(stem: str, prefix: str | None) -> None:
    assert prefix_of(stem) == prefix


@pytest.mark.parametrize(
    ("stem", "original"),
    [
        ("crazing_1_jpg.rf.0a1b2c3d", "crazing_1"),
        ("In_7_PNG.rf.ffff", "In_7"),
        ("crazing_1.rf.0a1b", "crazing_1"),
        ("crazing_1_jpg", "crazing_1_jpg"),
        ("crazing_1", "crazing_1"),
    ],
)
def test_the_stem_before_roboflow(stem: str, original: str) -> None:
    assert original_stem(stem) == original


@pytest.mark.parametrize(
    "name", ["good", "OK", " Normal ", "MT_Free", "no defect", "Defect-Free", "NO__DEFECTS", "perfect"]
)
def test_names_that_say_no_defect(name: str) -> None:
    assert is_good(name)


@pytest.mark.parametrize("name", ["ko", "defect", "not good", "goods", "MT_Fray", "", "anomaly", "no"])
def test_names_that_do_not(name: str) -> None:
    assert not is_good(name)
