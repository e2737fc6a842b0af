"""The task: one step of the optimiser for several batches, weight decay, synchronous norms."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d

from pocketeye.data import ImageSet
from pocketeye.errors import InvalidValue
from pocketeye.models import create_model
from pocketeye.runs import RunFolder
from pocketeye.training.classify.fit import describe, fit
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.task import ClassificationTask
from pocketeye.training.engine.loop import check_device, make_trainer
from pocketeye.training.engine.optim import create_optimizer
from pocketeye.training.engine.sync_bn import TimmSyncBatchNorm

from .conftest import tiny_net

Sets = tuple[ImageSet, ImageSet]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_average_and_schedule_count_steps_of_the_optimiser(
    tmp_path: Path, digits: Sets, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    config = ClassifyRecipe(
        epochs=2, batch_size=32, accumulate=accumulate, ema_decay=0.9, ema_warmup=False,
        warmup_epochs=1, warmup_ratio=0.0, min_lr=0.01, input_size=8, device="cpu",
    )  # fmt: skip
    steps: list[int | None] = []
    rates: list[float] = []
    original = ClassificationTask.on_train_batch_end

    def on_train_batch_end(self: ClassificationTask, *args: object) -> None:
        assert self.ema is not None
        monkeypatch.setattr(self.ema, "update", lambda model, step: steps.append(self.global_step))
        original(self, *args)  # type: ignore[arg-type]
        rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    monkeypatch.setattr(ClassificationTask, "on_train_batch_end", on_train_batch_end)
    fit(tiny_net(), *digits, config, RunFolder.open(tmp_path / "run", {}))
    per_epoch = -(-8 // accumulate)
    assert steps == list(range(1, 2 * per_epoch + 1))
    assert rates[-1] == pytest.approx(0.01), "the cosine ends in the last step"
    changes = sum(a != b for a, b in itertools.pairwise([0.0, *rates]))
    assert changes == 2 * per_epoch, "the rate changes with the step, not with the batch"


def test_constant_decay_is_exactly_that(tmp_path: Path, digits: Sets) -> None:
    config = ClassifyRecipe(ema_decay=0.75, ema_warmup=False, input_size=8)
    model = tiny_net()
    task = ClassificationTask(model, config, describe(model, digits[0], config, "tiny"))
    before = model.classifier.weight.detach().clone()
    with torch.no_grad():
        model.classifier.weight.add_(1.0)
    task.averaged_step = -1
    task._trainer = make_trainer(
        RunFolder.open(tmp_path / "run", {}), max_epochs=1, seed=0, device="cpu"
    )
    task.on_train_batch_end(None, None, 0)
    averaged = task.best_model.classifier.weight
    assert torch.allclose(averaged, before + 0.25)


@pytest.mark.parametrize("name", ["casvit_xs", "mobilenetv3_small_050", "deit_tiny_patch16_224"])
def test_no_weight_decay_on_biases_and_vectors(name: str, digits: Sets) -> None:
    model = create_model(name, num_classes=10, in_chans=1)
    config = ClassifyRecipe(optimizer="adamw", weight_decay=0.05, input_size=32)
    task = ClassificationTask(model, config, describe(model, digits[0], config, name))
    groups = create_optimizer(task.model, config).param_groups
    assert {group["weight_decay"] for group in groups} == {0.0, 0.05}
    names = {id(p): name for name, p in model.named_parameters()}
    spared = {names[id(p)] for g in groups if g["weight_decay"] == 0 for p in g["params"]}
    assert {n for n, p in model.named_parameters() if p.ndim <= 1 or n.endswith(".bias")} <= spared
    extra = {n for n in spared if model.get_parameter(n).ndim > 1 and not n.endswith(".bias")}
    assert extra <= {"cls_token", "pos_embed", "dist_token"}


def test_synchronous_norms_come_and_go() -> None:
    model = timm.create_model("mobilenetv3_small_050", num_classes=4).eval()
    assert any(isinstance(m, BatchNormAct2d) for m in model.modules())
    x = torch.randn(2, 3, 32, 32)
    before, kinds = model(x), [type(m) for m in model.modules()]
    model = TimmSyncBatchNorm().apply(model)
    assert any(isinstance(m, torch.nn.SyncBatchNorm) for m in model.modules())
    assert not any(type(m) is torch.nn.BatchNorm2d for m in model.modules())
    model = TimmSyncBatchNorm().revert(model)
    assert [type(m) for m in model.modules()] == kinds
    assert torch.equal(model(x), before)
    assert not model.training


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"precision": "fp16"}, "precision fp16 needs a CUDA device, --device cpu is none here"),
        ({"sync_bn": True}, "sync_bn needs CUDA devices"),
        ({"drop_path_rate": 0.1}, "TinyNet has no stochastic depth"),
        ({"batch_size": 400}, "has 256 images, fewer than one batch of 400"),
        ({"batch_size": 64, "num_processes": 5}, "one batch of 64 in each of 5 processes"),
        ({"multi_scale": ((32, 200), (48, 100))}, r"each of the 2 sizes \(300 in all\)"),
    ],
)
def test_recipes_that_cannot_be_followed_here(
    tmp_path: Path, digits: Sets, values: dict[str, object], message: str
) -> None:
    config = ClassifyRecipe(input_size=8, device="cpu", **values)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match=message):
        fit(tiny_net(), *digits, config, RunFolder.open(tmp_path / "run", {}))


@pytest.mark.parametrize("values", [{"input_size": 32}, {"multi_scale": ((160, 2), (224, 2))}])
def test_networks_of_one_size_say_so(
    tmp_path: Path, digits: Sets, values: dict[str, object]
) -> None:
    model = create_model("deit_tiny_patch16_224", num_classes=10, in_chans=1)
    config = ClassifyRecipe(**{"input_size": 224, "device": "cpu", **values})  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="takes images of 224 pixels only"):
        fit(model, *digits, config, RunFolder.open(tmp_path / "run", {}))


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_device("auto", precision="fp16", sync_bn=True, num_processes=2)
    with pytest.raises(InvalidValue, match="8 processes need a GPU each, this machine has 2"):
        check_device("auto", num_processes=8)
    check_device("cpu", num_processes=8)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    check_device("cuda", num_processes=8)
