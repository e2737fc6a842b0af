"""What a run of a detector or segmenter says about itself, and opening it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import Architecture, MaskRCNN, RetinaNet, SemanticFPN
from pocketeye.models.dense.described import DenseDescription, DenseTask, open_dense
from pocketeye.models.reference import Run, resolve
from pocketeye.models.task import task_named

SEARCHED = (
    "found@64=conv3:3>16/2|k3_e3:16>16/2|k3_e3:16>24/2|k3_e3:24>32/2|k3_e3:32>48/2|head96:48>10/1"
)


def described(task: DenseTask = "detect", **changes: object) -> DenseDescription:
    given = {"backbone": "fbnet_a", "classes": ("a", "b"), "fpn_channels": 16, "head_channels": 16,
             "min_size": 64, "max_size": 96, **changes}  # fmt: skip
    return DenseDescription(task=task_named(task), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "kind"), [("detect", RetinaNet), ("instance", MaskRCNN), ("semantic", SemanticFPN)]
)
def test_it_makes_the_network_again(tmp_path: Path, task: DenseTask, kind: type) -> None:
    torch.manual_seed(0)
    network = described(task).make()
    assert isinstance(network, kind)
    described(task).save(tmp_path)
    save_file(network.state_dict(), tmp_path / "best.safetensors")
    again, said = open_dense(tmp_path)
    assert said == described(task)
    assert not again.training
    assert resolve(tmp_path) == Run(folder=tmp_path, task=described(task).task)
    ours, theirs = network.state_dict(), again.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_searched_backbone_is_in_the_description(tmp_path: Path) -> None:
    architecture = Architecture.parse(SEARCHED)
    said = described("semantic", backbone="found", architecture=json.loads(architecture.to_json()))
    said.save(tmp_path)
    network = DenseDescription.load(tmp_path).make().eval()
    assert network.variant == "semantic_fpn on found"
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 2, 64, 64)


def test_what_is_no_dense_run(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"not a run .*detector"):
        DenseDescription.load(tmp_path)
    for text in ("{", "[]", '{"schema": "pocketeye.model/1"}', '{"schema": "pocketeye.dense/1"}'):
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(InvalidValue, match=r"model\.json .*not a description .*detector"):
            DenseDescription.load(tmp_path)
    text = described().save(tmp_path).read_text().replace('"detect"', '"detects"')
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(InvalidValue, match="unknown task 'detects'"):
        DenseDescription.load(tmp_path)
    described().save(tmp_path)
    with pytest.raises(MissingFile, match="has no weights yet"):
        open_dense(tmp_path)
    (tmp_path / "best.safetensors").write_bytes(b"nothing")
    with pytest.raises(InvalidValue, match="truncated or no checkpoint"):
        open_dense(tmp_path)
