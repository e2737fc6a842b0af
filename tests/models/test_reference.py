"""What the user named: every kind is recognised, and who does not take it says so in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pocketeye.cards.tracker import TrackerInfo
from pocketeye.cli import main
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import Architecture, create_model
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.reference import (
    ArchitectureFile,
    ArtifactFolder,
    Named,
    Run,
    TimmName,
    own_folder,
    resolve,
)
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.models.task import (
    CLASSIFY,
    INSTANCE,
    SEGMENT_ANYTHING,
    SEMANTIC,
    TRACK,
    Task,
)
from pocketeye.predicting.dense import open_dense_predictor
from pocketeye.predicting.info import ModelInfo
from pocketeye.predicting.network import open_network
from pocketeye.predicting.open_predictor import open_predictor
from pocketeye.tracking.networks import open_model
from pocketeye.verbs.info import info
from pocketeye.verbs.list_models import list_models

BUNDLED = "casvit_xs.tiny_imagenet_24"
NET = "net@16=conv3:3>8/2|head16:8>3/1"


def tracker_run(folder: Path, task: Task = TRACK) -> Path:
    folder.mkdir()
    TrackerDescription(task=task, variant="pocketeye_tam_pico", image_size=(64, 64)).save(folder)
    return folder


def dense_run(folder: Path, task: Task = SEMANTIC) -> Path:
    folder.mkdir()
    DenseDescription(task=task, backbone="fbnet_a", classes=("a", "b")).save(folder)
    return folder


def classifier_run(folder: Path) -> Path:
    folder.mkdir()
    ModelInfo.default("fbnet_a", ("a", "b"), 3, 32).save(folder)
    return folder


def artifact(folder: Path) -> Path:
    folder.mkdir()
    (folder / "artifact.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("name", "kind", "task"),
    [
        ("fbnet_c", Named, CLASSIFY),
        ("resnet18.a1_in1k", TimmName, CLASSIFY),
        ("efficienttam_ti", Named, TRACK),
        (BUNDLED, Run, CLASSIFY),
        ("semantic_fpn_casvit_xs.camvid11", Run, SEMANTIC),
    ],
)
def test_names(name: str, kind: type, task: Task) -> None:
    named = resolve(name)
    assert isinstance(named, kind)
    assert (named.name, named.task) == (name, task)
    assert own_folder(name) is None


@pytest.mark.parametrize(
    ("make", "task"),
    [
        (classifier_run, CLASSIFY),
        (dense_run, SEMANTIC),
        (lambda folder: dense_run(folder, INSTANCE), INSTANCE),
        (tracker_run, TRACK),
        (lambda folder: tracker_run(folder, SEGMENT_ANYTHING), SEGMENT_ANYTHING),
    ],
)
def test_runs_know_their_task(make: Callable[[Path], Path], task: Task, tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    assert resolve(run) == resolve(run / "model.json") == Run(folder=run, task=task)
    assert own_folder(str(run)) == run
    with pytest.raises(MissingFile, match="has no weights yet"):
        _ = Run(folder=run, task=task).weights
    artifact_of_it = artifact(tmp_path / "artefact")
    (run / "model.json").rename(artifact_of_it / "model.json")
    assert resolve(artifact_of_it) == ArtifactFolder(folder=artifact_of_it, task=task)


def test_architectures(tmp_path: Path) -> None:
    path = tmp_path / "found" / "architecture.json"
    path.parent.mkdir()
    Architecture.parse(NET).save(path)
    assert resolve(path) == resolve(path.parent) == ArchitectureFile(path=path)
    assert resolve(path).name == "found"
    save_file(create_model(path).state_dict(), path.parent / "best.safetensors")
    assert resolve(path) == ArchitectureFile(path=path)
    named = resolve(path.parent)
    assert isinstance(named, ArchitectureFile)
    assert named.weights == path.parent / "best.safetensors"
    ours, theirs = create_model(path.parent).state_dict(), create_model(path.parent).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert open_network(str(path.parent)).trained
    assert not open_network(str(path)).trained


def test_a_network_on_disk_wins_and_an_empty_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fbnet_c").mkdir()
    assert resolve("fbnet_c") == Named(name="fbnet_c")
    tracker_run(tmp_path / BUNDLED)
    assert resolve(BUNDLED) == Run(folder=Path(BUNDLED), task=TRACK)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("fbnet_cc", InvalidValue, "unknown model 'fbnet_cc'. Did you mean 'fbnet_c'"),
        ("efficienttam_tii", InvalidValue, "Did you mean 'efficienttam_ti'"),
        ("casvit_xs.tiny_imagenet_25", InvalidValue, f"Did you mean '{BUNDLED}'"),
        ("nowhere/run", MissingFile, "no network at nowhere/run"),
        ("empty", MissingFile, "the folder has no model.json, architecture.json or artifact.json"),
        ("w.safetensors", InvalidValue, "holds weights, which do not say of what network"),
        ("photo.png", InvalidValue, "is no network"),
        ("broken", InvalidValue, "and is 'other'"),
    ],
)
def test_what_is_no_network(
    name: str, error: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.json").write_text('{"schema": "other"}')
    for file in ("w.safetensors", "photo.png"):
        (tmp_path / file).write_bytes(b"")
    with pytest.raises(error) as caught:
        resolve(name)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("open_it", "make", "words"),
    [
        (create_model, tracker_run, "a run of a tracker, which create_model does not take"),
        (create_model, dense_run, "a run of a segmenter, which create_model does not take"),
        (create_model, artifact, "an artefact of a classifier, which create_model does not take"),
        (open_predictor, tracker_run, "pocketeye track, pocketeye segment, pocketeye eval"),
        (open_predictor, dense_run, "a run of a segmenter"),
        (open_dense_predictor, tracker_run, "a run of a tracker"),
        (open_dense_predictor, classifier_run, "a run of a classifier"),
        (open_model, dense_run, "use it with pocketeye predict"),
        (open_model, classifier_run, "a run of a classifier"),
    ],
)
def test_a_wrong_kind_is_one_sentence(
    open_it: Callable[[str], object], make: Callable[[Path], Path], words: str, tmp_path: Path
) -> None:
    model = str(make(tmp_path / "it"))
    with pytest.raises(InvalidValue) as caught:
        open_it(model)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{model} is a")


@pytest.mark.parametrize(
    ("verb", "make", "words"),
    [
        (
            ["export"],
            lambda folder: tracker_run(folder, SEGMENT_ANYTHING),
            "a run of a promptable segmenter, which pocketeye export does not take",
        ),
        (["export"], artifact, "name the run it was made of, or use it with pocketeye predict"),
        (["bench"], tracker_run, "a run of a tracker, which pocketeye bench does not take"),
        (["predict", "IT", "x.png"], tracker_run, "which pocketeye predict does not take"),
        (["predict", "efficienttam_ti", "x.png"], None, "efficienttam_ti is a tracker, which"),
        (["bench", "efficienttam_ti"], None, "efficienttam_ti is a tracker, which pocketeye bench"),
    ],
)
def test_verbs_say_what_it_is_and_who_takes_it(
    verb: list[str], make: Callable[[Path], Path] | None, words: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = str(make(tmp_path / "it")) if make else ""
    arguments = [model if word == "IT" else word for word in verb]
    arguments += [model] if make and "IT" not in verb else []
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert words in " ".join(said.split())
    assert "Error" not in said


def test_info_of_a_tracker_run(tmp_path: Path) -> None:
    run = tracker_run(tmp_path / "run")
    result = info(str(run))
    assert isinstance(result, TrackerInfo)
    assert result.tracker.image_size == (64, 64)
    assert result.to_dict()["description"]["task"] == "track"
    assert any("not finished" in line for line in result.lines())
    (run / "result.json").write_text(
        json.dumps({"iou": 0.5, "best_epoch": 2, "epochs": 3, "seconds": 60.0})
    )
    assert any("IoU 50.0 % on validation, epoch 2 of 3" in line for line in info(str(run)).lines())
    assert result.next_commands()[0].endswith(f"--model {run} --checkpoint FILE")


def test_weights_that_come_along_are_used_by_name() -> None:
    model = create_model(BUNDLED)
    assert model.num_classes == 24
    again = create_model(BUNDLED, pretrained=True).state_dict()
    key = "stem.0.conv.weight"
    assert torch.equal(model.state_dict()[key], again[key])
    assert not torch.equal(again[key], create_model("casvit_xs").state_dict()[key])
    first = next(line for line in list_models("casvit_xs*").lines() if BUNDLED in line)
    assert list_models("casvit_xs*").lines().index(first) == 1


def test_maps_of_a_run_come_from_its_weights() -> None:
    maps = create_model(BUNDLED, features_only=True)
    key = "stem.0.conv.weight"
    state = {k.removeprefix("model."): v for k, v in maps.state_dict().items()}
    assert torch.equal(state[key], create_model(BUNDLED).state_dict()[key])
