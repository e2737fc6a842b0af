"""An image encoder that learns another tracker's features."""

from __future__ import annotations

import pytest
import torch

from pocketeye.errors import InvalidValue
from pocketeye.models import create_tam
from pocketeye.training.tam.distill import FeatureTeacher, feature_loss, make_projection
from pocketeye.training.tam.recipe import TamRecipe
from pocketeye.training.tam.track import TrackTask

PICO, NANO = "pocketeye_tam_pico", "pocketeye_tam_nano"


def teacher_of(size: int = 64, name: str = NANO) -> FeatureTeacher:
    torch.manual_seed(3)
    return FeatureTeacher(create_tam(name, size), name)


def test_the_loss_sees_no_scale_and_no_shift() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 128, 6, 5)
    assert feature_loss(3 * features + 2, features).item() == pytest.approx(0, abs=1e-4)
    assert feature_loss(torch.randn(2, 128, 6, 5), features).item() == pytest.approx(2, abs=0.1)
    assert feature_loss(-features, features).item() == pytest.approx(4, abs=1e-3)
    # a teacher of another grid is brought to the student's
    smooth = torch.linspace(-1, 1, 16).view(1, 1, 1, 16).expand(1, 1, 16, 16)
    wanted = torch.cat([smooth, smooth.mT, -smooth], 1)
    near = torch.nn.functional.interpolate(wanted, (8, 8), mode="bilinear", antialias=True)
    assert feature_loss(near, wanted).item() == pytest.approx(0, abs=1e-6)


def test_the_teacher_sees_images_at_its_own_size_and_stays_as_it_is() -> None:
    teacher = teacher_of(96)
    before = teacher.sha256
    features = teacher.features(torch.randn(2, 3, 64, 64))
    assert features.shape == (2, teacher.dim, 6, 6)
    assert not features.requires_grad
    assert not teacher.model.training
    assert teacher.sha256 == before != teacher_of(96, PICO).sha256


def test_a_student_comes_nearer_to_its_teacher() -> None:
    teacher = teacher_of()
    torch.manual_seed(0)
    student = create_tam(PICO, 64)
    projection = make_projection(student.dim, teacher.dim)
    images = torch.randn(4, 3, 64, 64)
    wanted = teacher.features(images)
    parameters = [*student.image_encoder.parameters(), *projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, 2e-3)
    losses = []
    for _ in range(25):
        loss = feature_loss(projection(student.encode_image(images).feat), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    gradients = [p.grad for p in student.image_encoder.trunk.parameters() if p.requires_grad]
    assert any(g is not None and g.abs().sum() > 0 for g in gradients)


def test_the_task_trains_the_layer_between_and_saves_the_student_alone() -> None:
    task = TrackTask(create_tam(PICO, 64), TamRecipe(), teacher_of())
    names = {name for name, _ in task.named_parameters()}
    assert "projection.weight" in names
    assert not any("teacher" in name for name in (*names, *task.state_dict()))
    assert not any("projection" in name for name in task.best_model.state_dict())
    task.trainer = type("T", (), {"estimated_stepping_batches": 10})()  # type: ignore[assignment]
    [optimizer], _ = task.configure_optimizers()
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in task.projection.parameters()} <= trained  # type: ignore[union-attr]


def test_a_frozen_encoder_has_nothing_to_learn() -> None:
    with pytest.raises(InvalidValue, match="encoder_lr 0 keeps as it is"):
        TrackTask(create_tam(PICO, 64), TamRecipe(encoder_lr=0), teacher_of())
