"""`pocketeye predict` as a user calls it."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from pocketeye.cli import main
from pocketeye.data import load_images
from pocketeye.verbs.predict.verb import predict
from pocketeye.verbs.train.result import TrainResult


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Three digits and an empty file."""
    folder = tmp_path / "digits"
    folder.mkdir()
    val = load_images("digits", "val")
    for index in range(3):
        val[index][0].save(folder / f"{index}.png")
    (folder / "x.png").touch()
    return folder


def test_predict(trained: TrainResult, digits: Path) -> None:
    result = predict(str(trained.out), [str(digits)], topk=2, device="cpu")
    data = result.to_dict()
    assert [len(row["classes"]) for row in data["predictions"]] == [2, 2, 2]
    assert data["problems"] == [f"{digits / 'x.png'}: empty file"]
    assert result.next_commands() == [f"pocketeye export {trained.out}"]
    image, *rest = result.lines()[1].split()
    assert image.endswith("0.png")
    assert rest[0] == data["predictions"][0]["classes"][0]
    assert result.lines()[-2:] == [
        "[yellow]1 input is left out[/yellow]:", f"  {digits / 'x.png'}: empty file",
    ]  # fmt: skip


def test_what_is_written(trained: TrainResult, digits: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "deep" / "out", tmp_path / "other" / "table.csv"
    arguments = ["predict", str(trained.out), str(digits), "--topk", "3", "--device", "cpu"]
    arguments += ["--out", str(out), "--csv", str(table)]
    assert main(arguments) == 0
    with Image.open(out / "predictions.png") as sheet:
        assert sheet.width > 400
    files = sorted((out / "predictions").iterdir())
    assert [file.name for file in files] == ["0001-0.json", "0002-1.json", "0003-2.json"]
    first = json.loads(files[0].read_text())
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(digits / f"{i}.png") for i in range(3)]
    assert rows[0]["class_1"] == first["classes"][0]
    assert float(rows[0]["probability_3"]) == pytest.approx(first["probabilities"][2], abs=1e-5)
    before = table.read_text()
    assert main(arguments) == 2
    assert main([*arguments[:3], *arguments[-2:]]) == 2
    assert table.read_text() == before
    (out / "predictions" / "0009-old.json").touch()
    (out / "predictions" / "mine.json").touch()
    assert main([*arguments, "--overwrite"]) == 0
    names = {file.name for file in (out / "predictions").iterdir()}
    assert names == {file.name for file in files} | {"mine.json"}


@pytest.mark.parametrize("kind", ["image", "list"])
def test_standard_input(
    trained: TrainResult, digits: Path, kind: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = digits / "1.png"
    data = path.read_bytes() if kind == "image" else f"{path}\n{digits}/gone.png\n".encode()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert main(["predict", str(trained.out), "-", "--device", "cpu", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (row,) = printed["predictions"]
    assert row["path"] == ("standard input" if kind == "image" else str(path))
    assert printed["problems"] == ([] if kind == "image" else [f"no image at {digits}/gone.png"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fbnet_c", "nowhere.png"], "no image at nowhere.png"),
        (["fbnet_c", "*.png"], "no image matches *.png"),
        (["fbnet_c", "x", "--topkk", "2"], "topkk"),
        (["fbnet_c", "x", "--csv", "."], "--csv takes a file, and . is a folder"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(
    arguments: list[str], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["predict", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert not list(tmp_path.iterdir())
