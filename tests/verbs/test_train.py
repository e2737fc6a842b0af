"""`pocketeye train` as a user calls it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

import pocketeye
from pocketeye.cli import main
from pocketeye.cli._verbs import VERBS
from pocketeye.errors import InvalidValue
from pocketeye.models.task import TASKS
from pocketeye.verbs.train import train_classifier
from pocketeye.verbs.train.result import TrainResult


def test_train(trained: TrainResult) -> None:
    data = trained.to_dict()
    json.dumps(data, default=str)
    assert (
        data["value"] > 0.3
    )  # a tenth is chance; what two epochs reach differs between processors
    assert data["interval"][0] < data["value"] < data["interval"][1]
    assert (data["epochs"], data["input_size"], data["num_val"]) == (2, 16, trained.num_val)
    assert all(path.is_file() for path in trained.written())
    assert trained.next_commands() == [
        f"pocketeye eval {trained.out} --data digits",
        f"pocketeye predict {trained.out} IMAGE",
        f"pocketeye export {trained.out} --data digits",
    ]
    assert "images, in epoch" in trained.lines()[0]


def test_a_run_is_not_overwritten(trained: TrainResult) -> None:
    model = str(trained.out.parent / "architecture.json")
    with pytest.raises(InvalidValue, match="already holds a run"):
        train_classifier(model, out=trained.out, epochs=2, batch_size=32, device="cpu")
    with pytest.raises(InvalidValue, match=r"begun with another epochs \(2, now 1\)"):
        train_classifier(model, out=trained.out, epochs=1, batch_size=32, device="cpu", resume=True)


def test_report(trained: TrainResult) -> None:
    assert trained.written()[0] == trained.out / "report.html"
    html = (trained.out / "report.html").read_text()
    assert '<code>batch_size</code></td><td class="left wrap">32</td>' in html
    assert f"{100 * trained.value:.2f} %" in html
    assert html.count("data:image/png;base64,") == 2
    assert "http" not in html, "nothing is fetched"
    commands = [line.partition("</pre>")[0] for line in html.split("<pre>")[1:]]
    verbs = [command.split()[1] for command in commands]
    assert verbs == ["eval", "predict", "export", "train", "train"]
    assert commands[0] == f"pocketeye eval {trained.out} --data digits"


def test_the_reports_command_goes_on(trained: TrainResult) -> None:
    """Of the stored recipe; the run is over, so the result is the same."""
    html = (trained.out / "report.html").read_text()
    command = next(c for c in html.split("<pre>") if "--resume" in c).partition("</pre>")[0]
    assert main(shlex.split(command)[1:]) == 0
    stored = json.loads((trained.out / "result.json").read_text())
    assert stored["top1"] == trained.value


def test_teacher_and_start_weights_are_part_of_the_run(
    trained: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    model = str(trained.out.parent / "architecture.json")
    options = {"out": tmp_path / "run", "epochs": 1, "lr": 1e-3, "device": "cpu"}
    taught = {"teacher": str(trained.out), "distill": "soft"}
    start = {"checkpoint": trained.out / "best.safetensors"}
    result = train_classifier(model, **options, **taught, **start)  # type: ignore[arg-type]
    assert result.value > trained.value - 0.05, "begun with trained weights"
    for changed, message in (
        ({**taught, "distill": "hard", **start}, r"another distill \('soft', now 'hard'\)"),
        (taught, r"another checkpoint \('.*', now not set\)"),
        (start, r"another distill \('soft', now 'none'\); teacher \(.*\); teacher_sha256"),
    ):
        with pytest.raises(InvalidValue, match=message):
            train_classifier(model, **options, **changed, resume=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "classify", "fbnet_x"], "unknown model 'fbnet_x'"),
        (["train", "classify", "--data", "nowhere"], "no data at nowhere"),
        (["train", "classify", "--recipe", "digit"], "Did you mean 'digits'"),
        (["train", "classify", "--epochs", "0"], "epochs must be from 1"),
        (["train", "classify", "--optimiser", "sgd"], "optimiser"),
        (
            ["train", "classify", "--teacher", "nowhere"],
            "but distill is 'none': choose soft or hard",
        ),
        (["train", "classify", "--distill", "soft"], "distill 'soft' needs a teacher"),
        (
            ["train", "classify", "--teacher", "casvit_x", "--distill", "soft"],
            "Did you mean 'casvit_xs'",
        ),
        (["train", "classify", "--checkpoint", "nowhere.pt"], "no checkpoint at nowhere.pt"),
        (["train", "classify", "--new-head"], "give --checkpoint too"),
        (["train", "classify", "--input-size", "0"], "--input-size must be from 1"),
        (["train", "classify", "--threads", "0"], "threads must be from 1"),
        (["train", "classify", "--trunk", "fbnet_a"], "unknown option '--trunk'"),
        (["train", "fbnet_c"], "unknown train task 'fbnet_c'"),
        (["train", "clasify"], "Did you mean 'classify'"),
        (
            ["train", "classify", "--batch-size", "5000"],
            "has 1438 images, fewer than one batch of 5000",
        ),
        (
            ["train", "classify", "--precision", "fp16", "--device", "cpu"],
            "fp16 needs a CUDA device",
        ),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(
    arguments: list[str], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [("epochs: 0", "epochs must be from 1"), ("trunk: fbnet_a", "unknown key 'trunk'")],
)
def test_options_in_a_file_are_those_of_the_task(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "options.yaml"
    path.write_text(text)
    assert main(["train", "classify", "--config", str(path), "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("task", "place"), VERBS["train"].items())
def test_every_task_is_a_command_and_a_function(
    task: str, place: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert task in TASKS
    function = getattr(pocketeye, place[1])
    assert function.__module__ == f"pocketeye.verbs.{place[0]}"
    assert main(["train", task, "--help"]) == 0
    said = capsys.readouterr().out
    assert "--resume" in said
    assert ("--distill" in said) == (task == "classify")
    assert ("--trunk" in said) == TASKS[task].takes_prompts
    assert "of the other tasks" not in said.lower()


def test_there_is_a_command_for_every_task() -> None:
    assert VERBS["train"].keys() == TASKS.keys()


def test_a_test_split_that_chooses_the_epoch_is_named(tmp_path: Path) -> None:
    for split, count in (("train", 4), ("test", 2)):
        for label, value in (("dark", 40), ("light", 200)):
            folder = tmp_path / "data" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (32, 32), (value + number,) * 3).save(folder / f"{number}.png")
    result = train_classifier(
        "fbnet_96_035_1", data=str(tmp_path / "data"), out=tmp_path / "run", epochs=1, batch_size=2,
        device="cpu",
    )  # fmt: skip
    assert "'test' split stands in" in " ".join(result.lines())
