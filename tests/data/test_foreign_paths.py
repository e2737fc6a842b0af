"""Paths, lists, texts and single values as other programs and other machines write them."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pytest

from pocketeye.data.files.annotations.scalars import read_flag, read_id, read_number
from pocketeye.data.files.foreign_paths import ListedNames, SetFiles, find_inside, missing_text
from pocketeye.data.files.patterns import has_pattern, matches
from pocketeye.data.files.text_files import files_in, read_lines, read_yaml_as_written
from pocketeye.errors import InvalidValue


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "set"
    for name in ("0.jpg", "sub/1.jpg", "sub/deep/2.jpg"):
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).touch()
    (tmp_path / "outside.jpg").touch()
    return inside


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sub/1.jpg", "sub/1.jpg"),
        ("./0.jpg", "./0.jpg"),
        ("sub\\1.jpg", "sub/1.jpg"),
        ("..\\set\\0.jpg", "0.jpg"),
        ("C:\\data\\set\\sub\\1.jpg", "sub/1.jpg"),
        ("\\\\server\\share\\sub\\deep\\2.jpg", "sub/deep/2.jpg"),
        ("/home/me/set/0.jpg", "0.jpg"),
        ("../../elsewhere/0.jpg", "0.jpg"),
        ("../outside.jpg", None),
        ("sub/../../outside.jpg", None),
        ("/etc/hostname", None),
        ("nothing.jpg", None),
        ("n" * 300 + ".jpg", None),
        ("a\0b.jpg", None),
        ("", None),
    ],
)
def test_a_name_is_found_inside_or_not_at_all(folder: Path, name: str, found: str | None) -> None:
    assert find_inside(folder, name) == found


def test_two_names_never_become_one_file(folder: Path) -> None:
    files = SetFiles(folder)
    assert [files.find(name) for name in ("a/0.jpg", "b/0.jpg", "a/0.jpg")] == [
        "0.jpg", None, "0.jpg",
    ]  # fmt: skip
    assert "leads out of the set" in missing_text("/home/b/0.jpg")
    assert missing_text("b/0.jpg") == "missing image"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("my photo 1", "my photo 1"),
        ("my photo 1 -1", "my photo 1"),
        ("plain  1", "plain"),
        ('"my photo 1"', "my photo 1"),
        ("'plain'", "plain"),
        ('"my photo 1" 0', "my photo 1"),
        ("plain.JPG", "plain"),
        ("JPEGImages/plain.jpg", "plain"),
        ("C:\\set\\JPEGImages\\my photo 1.jpg", "my photo 1"),
        ("v1.5", "v1.5"),
        ("deep", "sub/deep"),
        ("other/sub/deep.jpg", "sub/deep"),
        ("/images/plain.png /masks/plain.png", "plain"),
        ("unknown 1", "unknown"),
    ],
)
def test_a_line_of_a_list(line: str, name: str) -> None:
    known = ("my photo 1", "plain", "v1.5", "sub/deep")
    assert ListedNames(known, (".jpg", ".png")).find(line) == name


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (12, 12), (12.0, 12), ("12", 12), (" 12 ", 12), ("-3", -3), ("0012", "0012"), ("a1", "a1"),
        (True, None), (None, None), ("", None), (1.5, None), ([1], None), (float("nan"), None),
    ],
)  # fmt: skip
def test_ids(value: Any, read: int | str | None) -> None:
    assert read_id(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, False), (0, False), ("0", False), ("false", False), ("No", False), ("", False),
        (0.0, False), (1, True), ("1", True), (True, True), ("TRUE", True), ("yes", True),
        ("perhaps", None), (2, None), ([], None),
    ],
)  # fmt: skip
def test_flags(value: Any, read: bool | None) -> None:
    assert read_flag(value) is read


@pytest.mark.parametrize(
    ("value", "read"),
    [("16", 16.0), (2, 2.0), ("1e1", 10.0), ("x", None), (True, None), ("inf", None), (None, None)],
)
def test_numbers(value: Any, read: float | None) -> None:
    assert read_number(value) == read


@pytest.mark.parametrize(
    "encoded",
    [
        codecs.BOM_UTF8 + "eins\r\nzwei ä\n".encode(),
        codecs.BOM_UTF16_LE + "eins\r\nzwei ä\n".encode("utf-16-le"),
        "\n eins \n\nzwei ä".encode(),
    ],
)
def test_lines_with_a_byte_order_mark(tmp_path: Path, encoded: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(encoded)
    assert read_lines(tmp_path / "list.txt") == ["eins", "zwei ä"]


def test_a_yaml_stays_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "data.yaml"
    file.write_bytes(codecs.BOM_UTF8 + b"names: [no, yes, on, 1e3, 007, 2024-01-01, null]\n")
    names = ["no", "yes", "on", "1e3", "007", "2024-01-01", "null"]
    assert read_yaml_as_written(file) == {"names": names}
    file.write_text("a: &a [x, x]\nb: [*a, *a]\n")
    assert read_yaml_as_written(file) == {"a": ["x", "x"], "b": [["x", "x"]] * 2}
    lines = [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    file.write_text("\n".join(["a0: &a0 [x, x]", *lines]))
    with pytest.raises(InvalidValue, match="with its aliases written out"):
        read_yaml_as_written(file)


def test_suffixes_in_capitals(tmp_path: Path) -> None:
    for name in ("b.TXT", "a.txt", "c.text", "._a.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in files_in(tmp_path, ".txt")] == ["a.txt", "b.TXT"]
    assert files_in(tmp_path / "nothing", ".txt") == []


def test_folders_with_brackets_stand_for_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("br [1]/a.png", "br 1/b.png", "x[1]y.png", "deep/br [1]/c/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert matches("br [1]/*.png") == [Path("br [1]/a.png")]
    assert matches(f"{tmp_path}/br [1]/*.png") == [tmp_path / "br [1]/a.png"]
    assert matches("deep/br [1]/**/*.png") == [Path("deep/br [1]/c/d.png")]
    assert matches("br [12]/*.png") == [Path("br 1/b.png")]
    assert has_pattern("br [1]/*.png")
    assert not has_pattern("x[1]y.png")
