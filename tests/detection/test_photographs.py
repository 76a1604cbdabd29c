"""The photographs that files, folders and patterns stand for, and the places of their results."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest

from minispiral.detection.output import ENDINGS, output_files
from minispiral.detection.photographs import find_photos, search_roots
from minispiral.errors import UserError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(folder: Path, *arguments: str, recursive: bool = False) -> list[str]:
    """The photographs found, as seen from ``folder``."""
    photos = find_photos([str(folder / argument) for argument in arguments], recursive)
    return [str(photo.relative_to(folder)) for photo in photos]


def places(folder: Path, *arguments: str, recursive: bool = False) -> list[str]:
    """Where the probabilities are written, as seen from the folder of the results."""
    words = [str(folder / argument) for argument in arguments]
    out = folder / "out"
    roots = search_roots(words) if recursive else []
    files = output_files(find_photos(words, recursive), out, roots)
    return [
        written["probability"].relative_to(out).as_posix().removesuffix(".probability.png")
        for written in files
    ]


OTHERS = ("flight.mpg", "report.pdf", "data.h5", "Thumbs.db", "._a.jpg", ".a.jpg", "log.txt")


def test_only_pictures_of_a_folder_count(tmp_path: Path) -> None:
    touch(tmp_path, "mixed/a.jpg", "mixed/b.HEIC", *(f"mixed/{name}" for name in OTHERS))
    assert found(tmp_path, "mixed") == ["mixed/a.jpg", "mixed/b.HEIC"]
    assert found(tmp_path, "mixed/*") == ["mixed/a.jpg", "mixed/b.HEIC"]
    assert found(tmp_path, "mixed/*.txt") == ["mixed/log.txt"]  # nothing else is meant
    assert found(tmp_path, "mixed/report.pdf") == ["mixed/report.pdf"]


def test_a_folder_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    touch(tmp_path, "raw/1.DNG", "raw/2.dng", "raw/2.SRT", "raw/Thumbs.db", "none/.keep")
    with pytest.raises(UserError, match=r"raw holds no pictures, only files with \.dng, \.srt;"):
        find_photos([str(tmp_path / "raw")])
    with pytest.raises(UserError, match="none holds no pictures;"):
        find_photos([str(tmp_path / "none")], recursive=True)


def test_pictures_only_in_subfolders(tmp_path: Path) -> None:
    touch(tmp_path, "dcim/100MEDIA/a.jpg")
    with pytest.raises(UserError, match="only in its subfolders") as error:
        find_photos([str(tmp_path / "dcim")])
    assert error.value.parameter == "recursive"


def test_subfolders_are_mirrored(tmp_path: Path) -> None:
    touch(tmp_path, "dcim/a.jpg", "dcim/100MEDIA/DJI_0001.JPG", "dcim/101MEDIA/DJI_0001.JPG")
    touch(tmp_path, "dcim/101MEDIA/deep/b.tif", "dcim/.trash/c.jpg", "dcim/@eaDir/DJI_0001.JPG")
    mirrored = ["a", "100MEDIA/DJI_0001", "101MEDIA/DJI_0001", "101MEDIA/deep/b"]
    assert places(tmp_path, "dcim", recursive=True) == mirrored
    assert places(tmp_path, "dcim/../dcim/", recursive=True) == mirrored
    # A tree of one folder keeps it, so that a second card does not change where the first is.
    assert places(tmp_path, "dcim/101MEDIA", recursive=True) == ["DJI_0001", "deep/b"]
    assert places(tmp_path, "dcim/**/*.JPG", recursive=True) == mirrored[1:3]


def test_without_subfolders_results_lie_flat(tmp_path: Path) -> None:
    touch(tmp_path, "dcim/100MEDIA/a.jpg", "dcim/101MEDIA/b.jpg", "dcim/101MEDIA/deep/c.jpg")
    assert places(tmp_path, "dcim/100MEDIA", "dcim/101MEDIA") == ["a", "b"]
    assert places(tmp_path, "dcim/*/*.jpg") == ["a", "b"]
    assert places(tmp_path, "dcim/*") == ["a", "b"]  # as a shell expands it


@pytest.mark.parametrize(
    "arguments",
    [
        ["dcim/100MEDIA", "dcim/101MEDIA"],
        ["dcim/*/*.JPG"],
        ["dcim/*"],
        ["dcim/100MEDIA/DJI_0001.JPG", "dcim/101MEDIA/DJI_0001.JPG"],
    ],
)
def test_photographs_of_the_same_name_get_the_folders_they_lie_in(
    arguments: list[str], tmp_path: Path
) -> None:
    touch(tmp_path, "dcim/100MEDIA/DJI_0001.JPG", "dcim/101MEDIA/DJI_0001.JPG")
    assert places(tmp_path, *arguments) == ["100MEDIA/DJI_0001", "101MEDIA/DJI_0001"]


def test_two_cards_with_the_same_tree(tmp_path: Path) -> None:
    touch(tmp_path, *(f"card {k}/DCIM/100MEDIA/DJI_0001.JPG" for k in "AB"))
    assert places(tmp_path, "card A", "card B", recursive=True) == [
        "card A/DCIM/100MEDIA/DJI_0001",
        "card B/DCIM/100MEDIA/DJI_0001",
    ]


def test_names_that_differ_on_some_disks_only(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "Brücke") for form in ("NFC", "NFD"))
    for first, second in ((f"x/{nfc}.jpg", f"y/{nfd}.jpg"), ("x/a.jpg", "y/A.jpg")):
        photos = [tmp_path / first, tmp_path / second]
        files = output_files(photos, tmp_path / "out")
        assert [written["mask"].parent.name for written in files] == ["x", "y"]
    for first, second in ((f"{nfc}.jpg", f"{nfd}.png"), ("cam/a.jpg", "CAM/a.jpg")):
        with pytest.raises(UserError, match="overwrite each other"):
            output_files([tmp_path / first, tmp_path / second], tmp_path / "out")


def test_places_never_leave_the_folder_of_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "here/a.jpg", "a.jpg", "there/a.jpg")
    monkeypatch.chdir(tmp_path / "here")
    words = [".", "../a.jpg", "../there"]
    files = output_files(find_photos(words, True), Path("out"), search_roots(words))
    masks = [written["mask"].as_posix() for written in files]
    assert masks == ["out/here/a.mask.png", "out/a.mask.png", "out/there/a.mask.png"]


def test_what_an_earlier_detection_wrote_is_no_photograph(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "sub/b.jpg", "c.overlay.jpg", "d.mask.png", "d.probability.png")
    for stem in ("a", "sub/b", "found/sub/b"):
        touch(tmp_path, *(stem + ending for ending in ENDINGS.values()))
    photos = ["a.jpg", "c.overlay.jpg", "sub/b.jpg"]  # c may well be a photograph
    assert found(tmp_path, "", recursive=True) == photos
    assert found(tmp_path, "**/*.*") == photos
    touch(tmp_path, "lone.png", "lone.mask.png")
    assert "lone.mask.png" not in found(tmp_path, "")
    assert found(tmp_path, "d.mask.png") == ["d.mask.png"]  # named, so it is meant


def test_names_are_found_in_either_spelling(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "Brücke") for form in ("NFC", "NFD"))
    for k, (disk, typed) in enumerate(((nfc, nfd), (nfd, nfc))):
        touch(tmp_path, f"{k}/{disk}/{disk}.jpg")
        [photo] = find_photos([str(tmp_path / str(k) / typed)])
        assert photo.is_file()
        [photo] = find_photos([str(tmp_path / str(k) / "*" / f"{typed[:5]}*.jpg")])
        assert photo.is_file()
        [photo] = find_photos([str(tmp_path / str(k) / typed / f"{typed}.jpg")])
        assert photo.is_file()


def test_links(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "photos" / "a again.jpg").symlink_to(tmp_path / "photos" / "a.jpg")
    (tmp_path / "photos" / "site").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "photos", target_is_directory=True)
    names = found(tmp_path, "photos", recursive=True)
    assert [Path(name).name for name in names] == ["a again.jpg", "b.jpg"]
    (tmp_path / "photos" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "photos" / "itself.jpg").symlink_to(tmp_path / "photos" / "itself.jpg")
    names = found(tmp_path, "photos")
    assert {"photos/gone.jpg", "photos/itself.jpg"} <= set(names)  # reading them tells of it
    output_files([tmp_path / name for name in names], tmp_path / "out")


def longest_stem(endings: Iterable[str], letter: str) -> str:
    """A stem whose results can just be written in a folder that takes names of 255 bytes."""
    room = 255 - len("..part") - max(map(len, endings))
    return letter * (room // len(os.fsencode(letter)))


@pytest.mark.skipif(os.name == "nt", reason="counts bytes")
@pytest.mark.parametrize("letter", ["x", "ü", "桥"])
def test_names_too_long_for_their_results_are_refused_first(letter: str, tmp_path: Path) -> None:
    if os.pathconf(tmp_path, "PC_NAME_MAX") != 255:
        pytest.skip("other disks, other limits")
    stem = longest_stem(ENDINGS.values(), letter)
    [files] = output_files([tmp_path / f"{stem}.jpg"], tmp_path / "new" / "out")
    for path in files.values():
        (tmp_path / f".{path.name}.part").touch()
    for longer in (f"{stem}{letter}", letter * (251 // len(os.fsencode(letter)))):
        touch(tmp_path, f"{longer}.jpg")
        with pytest.raises(UserError, match="too long") as error:
            output_files([tmp_path / f"{longer}.jpg"], tmp_path / "new" / "out")
        assert f"{longer}.jpg" in str(error.value)
