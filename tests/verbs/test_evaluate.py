"""`pocketeye eval` as a user calls it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pocketeye.cli import main
from pocketeye.errors import InvalidValue
from pocketeye.verbs.evaluate.verb import evaluate
from pocketeye.verbs.train.result import TrainResult


def test_eval(trained: TrainResult) -> None:
    result = evaluate(str(trained.out), device="cpu")
    assert result.to_dict()["top1"] == pytest.approx(trained.value)
    assert [path.name for path in result.written()] == [
        "eval.json",
        "classes.csv",
        "confusion.csv",
        "confusion.png",
        "calibration.png",
    ]
    assert result.next_commands() == [f"pocketeye export {trained.out} --data digits"]
    assert any("hardest classes" in line for line in result.lines())


def test_eval_of_an_artefact(trained: TrainResult, tmp_path: Path) -> None:
    from pocketeye.verbs.export import export

    export(str(trained.out), out=tmp_path / "artefact", data="digits", samples=4)
    result = evaluate(str(tmp_path / "artefact"))
    assert result.to_dict()["top1"] == pytest.approx(trained.value)
    assert result.next_commands() == [f"pocketeye bench {tmp_path / 'artefact'}"]


def test_eval_writes_what_it_says(trained: TrainResult, tmp_path: Path) -> None:
    result = evaluate(str(trained.out), device="cpu", out=tmp_path / "deep" / "eval")
    assert {path.name for path in (tmp_path / "deep" / "eval").iterdir()} == {
        path.name for path in result.written()
    }
    data = json.loads(result.written()[0].read_text())
    with result.written()[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list("0123456789")
    assert sum(int(row["correct"]) for row in rows) == round(data["top1"] * data["n"])
    assert float(rows[3]["recall"]) == pytest.approx(data["classes"][3]["recall"], abs=1e-5)
    with result.written()[2].open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert sum(int(cell["n"]) for cell in cells) == data["n"] == sum(map(sum, data["confusion"]))
    assert sum(row["n"] for row in data["calibration"]) == data["n"]
    assert any("most confused" in line for line in result.lines())


def test_class_names_from_a_file(trained: TrainResult, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join("0123456789"))
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes((trained.out / "best.safetensors").read_bytes())
    model = str(trained.out / "architecture.json")
    result = evaluate(model, checkpoint=bare, classes=names, device="cpu", input_size=16)
    assert result.to_dict()["top1"] > 0.3
    names.write_text("a\nb\n")
    with pytest.raises(InvalidValue, match=r"names\.txt names 2 classes, but .* has 10"):
        evaluate(model, checkpoint=bare, classes=names, device="cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "fbnet_c"], "has no trained weights"),
        (["eval", "nowhere"], "nowhere"),
        (["eval", "fbnet_c", "--classes", "nowhere.txt"], "no file of class names at nowhere.txt"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(
    arguments: list[str], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert not list(tmp_path.iterdir())


def test_eval_prints_one_json_object(
    trained: TrainResult, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(trained.out), "--device", "cpu", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["top1"] == pytest.approx(trained.value)
