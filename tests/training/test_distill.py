"""Distillation: the formulas, what the teacher sees, what is refused, what is saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_image
from torch import nn
from torch.nn import functional as F

from pocketeye.data import ImageSet
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import create_model, load_checkpoint
from pocketeye.models.backbones.packaged import PACKAGED
from pocketeye.predicting.info import ModelInfo
from pocketeye.runs import RunFolder
from pocketeye.training.classify.distill import Teacher, distilled_loss, open_teacher
from pocketeye.training.classify.fit import describe, fit
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.task import ClassificationTask

from .conftest import TinyNet, tiny_net

Sets = tuple[ImageSet, ImageSet]
DIGITS = tuple("0123456789")
INFO = ModelInfo(
    name="tiny", num_classes=10, in_chans=1, input_size=32, classes=DIGITS, mean=(0.5,), std=(0.5,)
)
SMALL = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32), "num_classes": 10, "in_chans": 1}


def config(**values: object) -> ClassifyRecipe:
    usual = {"teacher": "t", "distill": "hard", "epochs": 2, "lr": 0.05, "input_size": 32,
             "device": "cpu", "flip": 0.0}  # fmt: skip
    return ClassifyRecipe(**{**usual, **values})  # type: ignore[arg-type]


def teacher(seed: int = 7, **info: object) -> Teacher:
    return Teacher(tiny_net(seed), replace(INFO, **info))  # type: ignore[arg-type]


def test_soft_is_deits_equation_2() -> None:
    torch.manual_seed(0)
    student, taught, base = torch.randn(5, 7), torch.randn(5, 7), torch.tensor(1.5)
    p, q = torch.softmax(taught / 3, 1), torch.softmax(student / 3, 1)
    kl = (p * (p / q).log()).sum(1).mean()
    got = distilled_loss(base, student, taught, kind="soft", alpha=0.1, tau=3.0)
    assert got.item() == pytest.approx((0.9 * base + 0.1 * 9 * kl).item(), rel=1e-5)
    same = distilled_loss(base, taught, taught, kind="soft", alpha=0.1, tau=3.0)
    assert same.item() == pytest.approx(0.9 * 1.5)


def test_hard_is_deits_equation_3() -> None:
    torch.manual_seed(0)
    student, taught, labels = torch.randn(5, 7), torch.randn(5, 7), torch.arange(5)
    base = F.cross_entropy(student, labels)
    got = distilled_loss(base, student, taught, kind="hard", alpha=0.5, tau=1.0)
    expected = 0.5 * base + 0.5 * F.cross_entropy(student, taught.argmax(1))
    assert got.item() == pytest.approx(expected.item())


def test_the_second_head_learns_from_the_teacher_and_the_first_from_the_labels() -> None:
    torch.manual_seed(0)
    student = create_model("casvit_xs", distilled=True, **SMALL)
    task = ClassificationTask(student, config(distill_alpha=1.0), INFO, teacher())
    task.train()
    x, y = torch.randn(6, 1, 32, 32), torch.arange(6)
    task._loss(x, y).backward()
    assert student.head.weight.grad is None or not student.head.weight.grad.any()
    assert student.head_dist.weight.grad.any()
    student.zero_grad()
    ClassificationTask(student, config(distill_alpha=0.0), INFO, teacher()).train()._loss(
        x, y
    ).backward()
    assert student.head.weight.grad.any()
    assert not student.head_dist.weight.grad.any()


def test_one_head_learns_from_both() -> None:
    student, x, y = tiny_net(), torch.randn(6, 1, 32, 32), torch.arange(6)
    losses = []
    for alpha in (0.0, 0.25, 1.0):
        task = ClassificationTask(student, config(distill_alpha=alpha), INFO, teacher()).eval()
        losses.append(task._loss(x, y).item())
    assert losses[0] != losses[2]
    assert losses[1] == pytest.approx(0.75 * losses[0] + 0.25 * losses[2])


def test_the_teacher_sees_images_its_own_way() -> None:
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return torch.zeros(len(x), 10)

    own = replace(INFO, mean=(0.25,), std=(2.0,), input_size=48)
    pixels = torch.rand(2, 1, 32, 32)
    Teacher(Spy(), own).logits((pixels - 0.5) / 0.5, INFO)
    assert torch.allclose(seen[0], (pixels - 0.25) / 2.0, atol=1e-6)
    fixed = Spy()
    fixed.pretrained_cfg = {"fixed_input_size": True, "input_size": (1, 48, 48)}
    Teacher(fixed, own).logits((pixels - 0.5) / 0.5, INFO)
    assert seen[1].shape == (2, 1, 48, 48)
    assert seen[1].mean().item() == pytest.approx(seen[0].mean().item(), abs=0.01)


def test_teachers_come_from_runs_files_and_names(tmp_path: Path, digits: Sets) -> None:
    run = RunFolder.open(tmp_path / "run", {})
    student = create_model("casvit_xs", **SMALL)
    plain = ClassifyRecipe(epochs=1, input_size=32, device="cpu")
    fit(tiny_net(), *digits, plain, run, name="resnet10t")
    with pytest.raises(InvalidValue, match="does not fit"):
        open_teacher(config(teacher=str(tmp_path / "run")), INFO)  # a TinyNet is no ResNet

    net = timm.create_model("deit_tiny_patch16_224", num_classes=10, in_chans=1)
    save_file(net.state_dict(), tmp_path / "vit.safetensors")
    named = config(
        teacher="deit_tiny_patch16_224", teacher_checkpoint=str(tmp_path / "vit.safetensors")
    )
    opened = open_teacher(named, describe(student, digits[0], named, "s"))
    assert opened is not None
    assert (opened.info.num_classes, opened.info.in_chans, opened.fixed_size) == (10, 1, 224)
    size = opened.info.input_size
    x = torch.randn(2, 1, size, size)
    assert torch.equal(opened.logits(x, opened.info), net.eval()(x))
    assert opened.logits(torch.randn(2, 1, 32, 32), INFO).shape == (2, 10)
    assert not any(p.requires_grad for p in opened.module.parameters())
    assert len(opened.sha256) == 64


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((12, 1), "tells 12 classes, the data have 10: take one that was trained on such data"),
        ((10, 3), "takes 3 channels, the data have 1: take one"),
    ],
)
def test_misfits(tmp_path: Path, digits: Sets, shape: tuple[int, int], message: str) -> None:
    net = timm.create_model("test_resnet", num_classes=shape[0], in_chans=shape[1])
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    asked = config(teacher="test_resnet", teacher_checkpoint=str(tmp_path / "net.safetensors"))
    run = RunFolder.open(tmp_path / "run", {})
    with pytest.raises(InvalidValue, match=message):
        fit(tiny_net(), *digits, asked, run)
    assert not (run.path / "metrics.csv").exists()
    assert not (run.path / "last.ckpt").exists()


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"teacher": "resnet1"}, InvalidValue, "unknown model 'resnet1'"),
        ({"teacher": "casvit_xs"}, InvalidValue, "no weights of .casvit_xs. can be fetched"),
        ({"teacher": "casvit_xs", "teacher_checkpoint": "no.pt"}, MissingFile, "no checkpoint at"),
        (
            {"teacher": "x/architecture.json"},
            MissingFile,
            "no network at x/architecture.json",
        ),
    ],
)
def test_teachers_that_are_not_there(
    values: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_teacher(config(**values), INFO)


def test_other_classes_of_the_same_number() -> None:
    with pytest.raises(InvalidValue, match="other classes than the data"):
        teacher(classes=tuple("abcdefghij")).require_fit(INFO)
    teacher().require_fit(replace(INFO, classes=tuple("abcdefghij")))  # numbers are no names


def test_a_teacher_of_more_classes_answers_for_the_students() -> None:
    """Found by name, in the student's order; ImageNet's also by one of their words."""
    letters = teacher(classes=tuple("jihgfedcba"))
    student = replace(INFO, num_classes=3, classes=("b", "a", "j"))
    letters.require_fit(student)
    x = torch.randn(4, 1, 32, 32)
    assert torch.equal(letters.logits(x, student), letters.module(x)[:, [8, 9, 0]])
    with pytest.raises(
        InvalidValue, match=r"1 classes the network was not trained on \(z\).*take one"
    ):
        letters.require_fit(replace(student, classes=("b", "a", "z")))


def test_imagenets_classes_are_known_by_name(tmp_path: Path) -> None:
    net = timm.create_model("test_resnet", in_chans=1)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    asked = config(teacher="test_resnet", teacher_checkpoint=str(tmp_path / "net.safetensors"))
    student = replace(INFO, num_classes=2, classes=("dragonfly", "goldfish"))
    opened = open_teacher(asked, student)
    assert opened is not None
    assert opened.places == [319, 1]
    with pytest.raises(InvalidValue, match="tells 1000 classes, the data have 2"):
        open_teacher(asked, replace(student, classes=("my cat", "my dog")))


def test_a_teacher_sees_enlarged_images() -> None:
    sides: list[int] = []

    class Spy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sides.append(x.shape[-1])
            return torch.zeros(len(x), 10)

    x = torch.zeros(1, 1, 32, 32)
    for size in (None, 32, 80):
        Teacher(Spy(), INFO, size).logits(x, INFO)
    assert sides == [32, 32, 80]
    fixed = Spy()
    fixed.pretrained_cfg = {"fixed_input_size": True, "input_size": (1, 48, 48)}
    with pytest.raises(InvalidValue, match="48 pixels only, not of 80: leave out teacher_size"):
        Teacher(fixed, INFO, 80).require_fit(INFO)
    with pytest.raises(InvalidValue, match="teacher_size is given without a teacher"):
        ClassifyRecipe(teacher_size=80)


def test_the_published_weights_teach() -> None:
    if PACKAGED["tf_efficientnet_lite2"].installed is None:
        pytest.skip("pocketeye[pretrained] is not installed")
    classes = ("dragonfly", "palace", "teapot")
    student = replace(INFO, num_classes=3, in_chans=3, classes=classes,
                      mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))  # fmt: skip
    opened = open_teacher(config(teacher="tf_efficientnet_lite2", teacher_size=160), student)
    assert opened is not None
    photo = student.transform()(Image.fromarray(load_sample_image("china.jpg")))[None]
    assert classes[int(opened.logits(photo, replace(student, input_size=64)).argmax())] == "palace"


@pytest.mark.parametrize("distilled", [False, True])
def test_the_teacher_is_neither_trained_nor_saved(
    tmp_path: Path, digits: Sets, distilled: bool
) -> None:
    torch.manual_seed(0)
    student = create_model("casvit_xs", distilled=distilled, **SMALL)
    own = teacher()
    before = {key: value.clone() for key, value in own.module.state_dict().items()}
    run = RunFolder.open(tmp_path / "run", {})
    result = fit(student, *digits, config(distill="soft"), run, teacher=own, name="casvit_xs")
    assert result.epochs == 2
    assert all(torch.equal(value, before[key]) for key, value in own.module.state_dict().items())
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert not any("teacher" in key for key in saved["state_dict"])
    assert set(load_file(tmp_path / "run" / "best.safetensors")) == set(student.state_dict())
    deployed = load_checkpoint(create_model("casvit_xs", **SMALL), run / "best.safetensors").eval()
    x = torch.randn(2, 1, 32, 32)
    assert torch.allclose(deployed(x), student(x), atol=1e-5), "one head says what the two say"
    assert isinstance(student.train()(torch.randn(2, 1, 32, 32)), torch.Tensor), "one output again"


def test_a_student_imitates(tmp_path: Path, digits: Sets) -> None:
    """Labels count for nothing here, so what is learnt comes from the teacher."""
    taught = tiny_net(3)
    usual = ClassifyRecipe(epochs=12, batch_size=32, lr=0.3, input_size=8, crop="none", flip=0,
                        device="cpu")  # fmt: skip
    first = fit(taught, *digits, usual, RunFolder.open(tmp_path / "teacher", {}))
    own = Teacher(taught, replace(INFO, input_size=8))
    asked = replace(usual, teacher="t", distill="soft", distill_alpha=1.0, label_smoothing=0.0)
    second = fit(TinyNet(), *digits, asked, RunFolder.open(tmp_path / "student", {}), teacher=own)
    assert first.value > 0.6
    assert second.value > 0.6
