"""`pocketeye train detect|instance|semantic` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pocketeye.cli import main
from pocketeye.errors import InvalidValue
from pocketeye.models import create_model
from pocketeye.models.backbones.packaged import PACKAGED
from pocketeye.models.dense.backbone import DenseBackbone
from pocketeye.models.dense.described import DenseDescription, open_dense
from pocketeye.models.task import DETECT
from pocketeye.predicting.info import ModelInfo
from pocketeye.verbs.train import train_detector, train_segmenter
from tests.training.dense_sets import write_coco_discs, write_semantic_discs
from tests.training.test_fit_dense import BACKBONE

RECIPE = """
task: {task}
epochs: 1
steps_per_epoch: 1
batch_size: 2
norms: live
fpn_channels: 16
head_channels: 16
train_sizes: [72]
input_size: 72
max_size: 120
crop: 64
"""


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco_discs(tmp_path_factory.mktemp("coco"), {"train": 3, "val": 2})


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_semantic_discs(tmp_path_factory.mktemp("semantic"), {"train": 3, "val": 2})


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A run of a classifier, with other statistics of its images than usual."""
    folder = tmp_path / "classifier"
    folder.mkdir()
    torch.manual_seed(5)
    save_file(create_model("fbnet_a", num_classes=3).state_dict(), folder / "best.safetensors")
    ModelInfo(
        name="fbnet_a", num_classes=3, in_chans=3, input_size=64, classes=("a", "b", "c"),
        mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2),
    ).save(folder)  # fmt: skip
    return folder


def recipe(folder: Path, task: str) -> str:
    path = folder / f"{task}.yaml"
    path.write_text(RECIPE.format(task=task))
    return str(path)


def test_from_a_classifier_to_a_detector_and_on(
    coco: Path, classifier: Path, tmp_path: Path
) -> None:
    options = {"data": str(coco), "device": "cpu"}
    options["recipe"] = recipe(tmp_path, "detect")
    first = train_detector(backbone=str(classifier), out=tmp_path / "first", lr=1e-9, **options)
    assert first.started.startswith("the backbone's weights are those of")
    described = DenseDescription.load(first.out)
    assert (described.backbone, described.classes) == ("fbnet_a", ("red", "blue"))
    assert described.category_ids == (3, 7)
    assert described.mean == (0.4, 0.5, 0.6)
    network, _ = open_dense(first.out)
    body = next(m for m in network.modules() if isinstance(m, DenseBackbone))
    theirs = create_model(classifier).state_dict()
    weights = dict(body.model.named_parameters())
    assert weights
    assert all(torch.allclose(v, theirs[k], atol=1e-6) for k, v in weights.items())
    data = first.to_dict()
    json.dumps(data, default=str)
    assert all(path.is_file() for path in first.written())
    assert first.next_commands()[0].startswith(f"pocketeye eval {first.out} --data")
    second = train_detector(
        backbone="fbnet_a", checkpoint=first.out, out=tmp_path / "second", **options
    )
    assert second.started == f"all weights are those of {first.out}"
    with pytest.raises(InvalidValue, match="already holds a run"):
        train_detector(backbone="fbnet_a", out=tmp_path / "second", **options)
    with pytest.raises(InvalidValue, match="is a run of a detector, which"):
        train_detector(backbone=str(first.out), out=tmp_path / "third", **options)


def test_a_searched_backbone_segments(labelled: Path, tmp_path: Path) -> None:
    from pocketeye.models import Architecture

    path = Architecture.parse(BACKBONE).save(tmp_path / "architecture.json")
    result = train_segmenter(
        backbone=str(path or tmp_path / "architecture.json"), data=str(labelled),
        recipe=recipe(tmp_path, "semantic"), out=tmp_path / "run", device="cpu", input_size=64,
    )  # fmt: skip
    described = DenseDescription.load(result.out)
    assert described.backbone == "tiny"
    assert described.min_size == 64
    assert described.classes == ("ground", "red", "blue")
    assert open_dense(result.out)[0](torch.zeros(1, 3, 64, 96)).shape == (1, 3, 64, 96)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detect"], "--data needs a value"),
        (["classify", "--backbone", "fbnet_a"], "unknown option '--backbone'"),
        (["detect", "--data", "COCO", "--model", "fbnet_a"], "unknown option '--model'"),
        (["detect", "--data", "nowhere"], "no data at nowhere"),
        (
            ["detect", "--data", "COCO", "--backbone", "fbnet_d"],
            "Did you mean 'fbnetv3_d'",
        ),
        (["detect", "--data", "COCO", "--backbone", "deit_tiny_patch16_224"], "strides"),
        (["detect", "--data", "COCO", "--backbone", "gone.json"], "no network at gone.json"),
        (["detect", "--data", "COCO", "--classes", "camvid11"], "unknown option '--classes'"),
        (
            ["detect", "--data", "COCO", "--recipe", "semantic-small"],
            "is a recipe of pocketeye train semantic",
        ),
        (["detect", "--data", "COCO", "--checkpoint", "x.pt"], "no checkpoint at x.pt"),
        (["semantic", "--data", "COCO"], "is no set of images with labels"),
        (
            ["semantic", "--data", "SEM", "--recipe", "semantic-fpn-40k"],
            "use a copy of it that says live",
        ),
        (["detection", "--data", "COCO"], "Did you mean 'detect'"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(
    arguments: list[str], message: str, coco: Path, labelled: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    places = {"COCO": str(coco), "SEM": str(labelled)}
    given = [places.get(argument, argument) for argument in arguments]
    assert main(["train", *given, "--out", "out", "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert message in " ".join(said.split())
    assert not (tmp_path / "out" / "best.safetensors").exists()


def test_weights_of_other_classes_do_not_fit(coco: Path, tmp_path: Path) -> None:
    described = DenseDescription(
        task=DETECT, backbone="fbnet_a", classes=("a", "b", "c"), fpn_channels=16
    )
    save_file(described.make().state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(
        InvalidValue, match=r"does not fit retinanet on fbnet_a: .* of another shape"
    ):
        train_detector(
            backbone="fbnet_a", data=str(coco), recipe=recipe(tmp_path, "detect"),
            checkpoint=tmp_path / "other.safetensors", out=tmp_path / "run", device="cpu",
        )  # fmt: skip


def test_a_backbone_with_packaged_weights(labelled: Path, tmp_path: Path) -> None:
    weights = PACKAGED["tf_efficientnet_lite0"]
    if weights.installed is None:
        pytest.skip("pocketeye[pretrained] is not installed")
    result = train_segmenter(
        backbone=weights.name, pretrained=True, data=str(labelled), lr=1e-9,
        recipe=recipe(tmp_path, "semantic"), out=tmp_path / "run", device="cpu",
    )  # fmt: skip
    assert result.started == f"the backbone's weights are the published ones of {weights.name}"
    network, described = open_dense(result.out)
    assert (described.mean, described.std) == ((0.5,) * 3, (0.5,) * 3)
    body = next(m for m in network.modules() if isinstance(m, DenseBackbone))
    state = weights.state_dict()
    assert all(torch.allclose(v, state[k], atol=1e-6) for k, v in body.model.named_parameters())


def emptied(root: Path, split: str) -> None:
    """Take all objects out of a part of a COCO set."""
    path = root / "annotations" / f"instances_{split}2017.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "annotations": []}))


def test_a_validation_set_without_objects_has_no_ap(tmp_path: Path, capsys) -> None:
    data = write_coco_discs(tmp_path / "coco", {"train": 3, "val": 2})
    emptied(data, "val")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(task="detect"))
    out = tmp_path / "run"
    asked = ["train", "detect", "fbnet_96_035_1", "--data", str(data), "--recipe", str(recipe)]
    assert main([*asked, "--out", str(out), "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "not one annotated object: no AP can be measured" in said.err  # before the first step
    assert "box AP - on 2 images" in said.out
    assert "beware: there is nothing to find" in said.out
    result = json.loads((out / "result.json").read_text())
    assert result["value"] is None
    assert "there is nothing to find" in result["doubts"][0]
    assert (out / "best.safetensors").is_file()  # of the last epoch
    assert "<b>-</b>" in (out / "report.html").read_text()


def test_a_training_set_without_objects_is_refused(tmp_path: Path) -> None:
    data = write_coco_discs(tmp_path / "coco", {"train": 2, "val": 2})
    emptied(data, "train")
    with pytest.raises(InvalidValue, match="not one annotated object"):
        train_detector("fbnet_96_035_1", data=str(data), out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
