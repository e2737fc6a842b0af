"""Training sees a clip as a session does, frame by frame, whatever the prompt."""

from __future__ import annotations

import pytest
import torch

from pocketeye.data.clips.clips import ClipBatch
from pocketeye.models import TAM, create_tam
from pocketeye.models.tam import MemoryRule
from pocketeye.tracking import TorchEngine, Tracker
from pocketeye.training.tam import clip_forward
from pocketeye.training.tam.clip_forward import ClipForward, Plan
from tests.training.tam_clips import tiny_batch, tiny_tam

NUM_FRAMES = 9  # more than the maps that a frame reads
EXACT = {"hole_area": 0, "round_maps": False}


@pytest.fixture(scope="module")
def model() -> TAM:
    """Every weight matters, some objects are denied, and the memory is read."""
    model = tiny_tam()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            scale = 0.3 if p.ndim < 2 else 1.5 / p[0].numel() ** 0.5
            p.copy_(torch.randn(p.shape, generator=generator) * scale + (p.ndim == 1) * 0.5)
        model.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(2.0)
    return model.eval()


def images(batch: ClipBatch, clip: int) -> list:
    return [frame.permute(1, 2, 0).numpy() for frame in batch.frames[clip]]


class FixedPrompts:
    """In place of chance: the points that were drawn are kept, for the session to be given too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.drawn: list[tuple[torch.Tensor, torch.Tensor]] = []
        for name in ("first_click", "noisy_box", "error_click"):
            monkeypatch.setattr(clip_forward, name, self._kept(getattr(clip_forward, name)))

    def _kept(self, function):
        def draw(*arguments):
            self.drawn.append(function(*arguments))
            return self.drawn[-1]

        return draw


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "corrected", "rule"),
    [  # every pair of them; a mask is not corrected
        ("mask", (), MemoryRule.RECENT),
        ("mask", (), MemoryRule.VISIBLE),
        ("click", (), MemoryRule.RECENT),
        ("click", (0,), MemoryRule.RECENT),
        ("click", (0, 3), MemoryRule.VISIBLE),
        ("box", (), MemoryRule.VISIBLE),
        ("box", (0,), MemoryRule.VISIBLE),
        ("box", (0, 3), MemoryRule.RECENT),
    ],
)
def test_it_answers_as_a_session_does(model, monkeypatch, kind, corrected, rule):
    monkeypatch.setattr(model, "memory_rule", rule)
    monkeypatch.setattr(model, "session_rule", rule)
    batch = tiny_batch(2, NUM_FRAMES)
    prompts = FixedPrompts(monkeypatch)
    torch.manual_seed(0)
    answers = ClipForward(model, batch, Plan(kind=kind, clicks=2, corrected=corrected))()
    last = {said.frame: said.mask for said in answers}
    assert set(last) == set(range(kind == "mask", NUM_FRAMES))
    tracker = Tracker(TorchEngine(model, "cpu"))
    for row, clip in enumerate(batch.clip_of.tolist()):
        with tracker.open(None, **EXACT) as session:
            drawn = iter(prompts.drawn)
            for frame, image in enumerate(images(batch, clip)):
                shown = session.push(image)
                clicks = 2 if frame in corrected else 0
                if frame == 0 and kind == "mask":
                    shown = session.add(1, mask=batch.masks[row, 0].numpy())
                    continue
                if frame == 0 and kind == "box":
                    corners = next(drawn)[0][row].flatten()
                    shown = session.add(1, box=corners.tolist())
                elif frame == 0:
                    clicks += 1
                for _ in range(clicks):
                    points, labels = next(drawn)
                    shown = session.add(
                        1, points=points[row], labels=labels[row], clear_old_points=False
                    )
                torch.testing.assert_close(
                    last[frame][row],
                    torch.from_numpy(shown.low_res_masks[0]),
                    rtol=1e-3,
                    atol=1e-3,
                    msg=lambda m, f=frame: f"frame {f}: {m}",
                )


@torch.no_grad()
@pytest.mark.parametrize("plain", [False, True])
def test_a_network_with_all_its_inputs_answers_as_in_a_session(plain):
    """Prompt maps, matching and the rule of hidden objects, as the nano has them."""
    torch.manual_seed(0)
    model, batch = create_tam("pocketeye_tam_nano", 64).eval(), tiny_batch(1, 5)
    last = {said.frame: said.mask for said in ClipForward(model, batch, Plan(kind="mask"))()}
    with Tracker(TorchEngine(model, "cpu")).open(None, plain=plain, **EXACT) as session:
        for frame, image in enumerate(images(batch, 0)):
            shown = session.push(image)
            if frame == 0:
                session.add(1, mask=batch.masks[0, 0].numpy())
                continue
            got = torch.from_numpy(shown.low_res_masks[0])
            torch.testing.assert_close(last[frame][0], got, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_masks_are_those_of_the_objects_own_clip(model):
    both = tiny_batch(2, 3)
    second = ClipBatch(both.frames[1:], both.masks[2:], both.annotated[2:], both.clip_of[2:] - 1)
    plan = Plan(kind="mask")
    for said, alone in zip(
        ClipForward(model, both, plan)(), ClipForward(model, second, plan)(), strict=True
    ):
        torch.testing.assert_close(said.masks[2:], alone.masks, rtol=1e-4, atol=1e-4)


def test_gradients_go_through_the_memory():
    model = tiny_tam().train()
    batch = tiny_batch(1, 3, 1)
    answers = ClipForward(model, batch, Plan(kind="mask", binarize=False))()
    answers[-1].masks.sum().backward()
    reached = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert {"memory_encoder", "memory_attention", "obj_ptr_proj", "mask_downsample"} <= reached
    assert model.maskmem_tpos_enc.grad is not None
    assert model.maskmem_tpos_enc.grad[[0, -1]].abs().sum((1, 2, 3)).min() > 0


def test_checkpointing_changes_no_gradient():
    grads = []
    for checkpointing in (False, True):
        model = tiny_tam().eval()
        batch = tiny_batch(1, 3, 1)
        plan = Plan(kind="mask", checkpointing=checkpointing)
        sum(said.masks.sum() for said in ClipForward(model, batch, plan)()).backward()
        grads.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name], msg=lambda m, n=name: f"{n}: {m}")
