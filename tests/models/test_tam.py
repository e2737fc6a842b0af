"""Trackers: sizes, batches of objects, other trunks, and the rules between the parts."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.layers import set_fused_attn
from pocketeye.models import TAM, PlainViT, create_tam, list_tams
from pocketeye.models.tam import BackboneTrunk, ImageEncoder, MaskDecoder
from pocketeye.models.tam.tam import as_prompt, stable_or_best

RECTANGLE = (96, 160)


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights at which every part matters: fresh ones have gammas of 1e-6 and zero biases."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            scale = 0.3 if p.ndim < 2 else 1 / p[0].numel() ** 0.5
            p.copy_(torch.randn(p.shape, generator=generator) * scale + (p.ndim == 1) * 0.5)
    return model.eval()


@pytest.fixture(scope="module")
def small() -> TAM:
    """Ours on a rectangle, every part of it random."""
    model = randomised(create_tam("pocketeye_tam_pico", RECTANGLE))
    assert isinstance(model, TAM)
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(50)
    return model


def draws(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", list_tams("efficienttam_*"))
def test_params_are_exact(name):
    with torch.device("meta"):
        model = create_tam(name)
    count = sum(p.numel() for p in model.parameters())
    assert count == (17_866_018 if "_ti" in name else 34_055_842)
    assert len(model.state_dict()) == 455
    assert model.image_size == ((512, 512) if name.endswith("512x512") else (1024, 1024))


def test_eight_are_published():
    assert len(list_tams("efficienttam_*")) == 8


@torch.no_grad()
@pytest.mark.parametrize("name", list_tams("pocketeye_tam_*"))
def test_our_own_are_small_and_work(name):
    model = create_tam(name).eval()
    assert sum(p.numel() for p in model.parameters()) < 10e6
    assert all(256 <= side <= 384 for side in model.image_size)
    height, width = model.image_size
    seen = model.encode_image(draws(1, 3, height, width))
    raw, details = seen
    assert len(details) == (0 if name == "pocketeye_tam_small" else 2)
    said = model.predict(
        model.without_memory(raw), torch.tensor([[[9.0, 9.0]]]), torch.tensor([[1]]),
        details=details,
    )  # fmt: skip
    assert said.mask.shape == (1, 1, height // 4, width // 4)
    assert said.masks.shape[1] == said.ious.shape[1] == 3
    remembered = [model.prepare_map(model.encode_memory(seen, said.mask))] * 2
    memory = model.gather(remembered, [6, 0], model.slot_keys(), said.pointer[:, None])
    read = model.read(seen, memory)
    assert read.feat.shape == raw.shape
    assert [x.shape for x in read.details] == [x.shape for x in details]


def test_training_reaches_every_parameter():
    model = create_tam("pocketeye_tam_pico", RECTANGLE).train()
    image = draws(2, 3, *RECTANGLE)
    seen = model.encode_image(image)
    raw, details = seen
    mask = draws(2, 1, 24, 40)
    one = model.predict(
        model.without_memory(raw), torch.rand(2, 2, 2), torch.tensor([[1, 0], [2, 3]]),
        details=details,
    )  # fmt: skip
    two = model.adopt_mask(raw, (draws(2, 1, *RECTANGLE) > 0).float())
    maps = [model.encode_memory(seen, one.mask)] * 2
    read, details = model.read_raw(seen, maps, [6, 0], torch.stack([one.pointer, two.pointer], 1))
    three = model.predict(read, mask=mask, details=details)
    tables = model.maskmem_tpos_enc.sum() + model.no_mem_pos_enc.sum() + model.no_obj_ptr.sum()
    outputs = (one, two, three)
    total = sum(x.sum() for said in outputs for x in said) + tables
    decoded = model.mask_decoder(read, model.prompt_encoder.dense_pos, *prompt_of(model), details)
    (total + sum(x.sum() for x in decoded)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def prompt_of(model: TAM) -> tuple[torch.Tensor, torch.Tensor]:
    return model.prompt_encoder(torch.rand(2, 1, 2), torch.tensor([[0], [-1]]))


@torch.no_grad()
def test_details_reach_masks_and_nothing_else(small):
    raw, (eighth, fourth) = small.encode_image(draws(1, 3, *RECTANGLE))
    assert (eighth.shape, fourth.shape) == ((1, 32, 12, 20), (1, 16, 24, 40))
    points, labels = torch.tensor([[[9.0, 9.0]]]), torch.tensor([[1]])
    feat = small.without_memory(raw)
    plain = small.predict(feat, points, labels)
    for details in ((eighth, 0 * fourth), (0 * eighth, fourth)):
        said = small.predict(feat, points, labels, details=details)
        assert not torch.allclose(said.masks, plain.masks, rtol=0.1)
        assert torch.equal(said.ious, plain.ious)
    adopted = small.adopt_mask(raw, torch.ones(1, 1, *RECTANGLE), (eighth, fourth))
    torch.testing.assert_close(
        adopted.pointer, small.adopt_mask(raw, torch.ones(1, 1, *RECTANGLE)).pointer
    )


def test_details_need_a_trunk_with_fine_maps():
    with pytest.raises(InvalidValue, match="strides 8 and 4"):
        ImageEncoder(PlainViT((64, 64)), details=True)


@torch.no_grad()
def test_objects_are_batched(small):
    """Three objects on shared features are what each of them is alone."""
    seen = small.encode_image(draws(1, 3, *RECTANGLE))
    raw, details = seen
    points, labels = draws(3, 2, 2).abs() * 60, torch.tensor([[1, 0], [2, 3], [1, 1]])
    masks, pointers = draws(3, 1, 24, 40, seed=2), draws(3, 4, 128, seed=3)

    def all_of(points, labels, masks, pointers):
        knows_nothing = small.without_memory(raw)
        first = small.predict(knows_nothing, points, labels, masks, True, details=details)
        written = small.prepare_map(small.encode_memory(seen, first.mask))
        memory = small.gather([written, written], [6, 3], small.slot_keys(), pointers)
        read = small.read(seen, memory)
        return *first, *small.predict(read.feat, details=read.details)

    together = all_of(points, labels, masks, pointers)
    for n in range(3):
        one = slice(n, n + 1)
        alone = all_of(points[one], labels[one], masks[one], pointers[one])
        for x, y in zip(together, alone, strict=True):
            torch.testing.assert_close(x[one], y, rtol=1e-3, atol=1e-3 * y.abs().max().item())


@torch.no_grad()
@pytest.mark.parametrize("size", [(96, 160), (288, 512), (112, 112)])
def test_windows_need_not_be_filled_up(size):
    """Whole windows, cut ones on either side, and a map smaller than a window."""
    lean = randomised(create_tam("efficienttam_ti_512x512", size).image_encoder.trunk)
    full = create_tam("efficienttam_ti_512x512", size, pad_windows=True).image_encoder.trunk.eval()
    full.load_state_dict(lean.state_dict())
    image = draws(1, 3, *size)
    want = full(image)
    assert want.shape == (1, 192, size[0] // 16, size[1] // 16)
    assert (lean(image) - want).abs().max() < 1e-4 * want.std()
    explicit = set_fused_attn(lean, False)(image)
    assert (explicit - want).abs().max() < 1e-4 * want.std()


@torch.no_grad()
def test_position_table_is_resampled_as_by_pytorch():
    trunk = randomised(create_tam("efficienttam_ti_512x512", (288, 512)).image_encoder.trunk)
    table = trunk.pos_embed[:, 1:].reshape(1, 14, 14, 192).permute(0, 3, 1, 2)
    want = F.interpolate(table, size=(18, 32), mode="bicubic", align_corners=False)
    torch.testing.assert_close(trunk.position(), want[0].permute(1, 2, 0), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("trunk", ["casvit_xs", "fbnet_a", "mobilenetv4_conv_small"])
def test_any_backbone(trunk):
    model = create_tam("pocketeye_tam_pico", (96, 160), trunk=trunk).eval()
    assert model.encode_image(draws(1, 3, 96, 160)).feat.shape == (1, 128, 6, 10)
    assert model.image_encoder.trunk.fuse


@torch.no_grad()
def test_backbone_with_an_odd_map_and_without_context():
    # A map of 5x7 whose half is 3x4.
    model = create_tam("pocketeye_tam_pico", (80, 112), trunk="casvit_xs").eval()
    assert model.encode_image(draws(1, 3, 80, 112)).feat.shape == (1, 128, 5, 7)
    backbone = timm.create_model("casvit_xs", features_only=True, out_indices=(0, 1, 2)).eval()
    trunk = BackboneTrunk(backbone)
    assert not trunk.fuse
    trunk.norms["16"].running_mean.fill_(0.5)
    trunk.norms["16"].running_var.fill_(4.0)
    image = draws(1, 3, 64, 64)
    want = (backbone(image)[2] - 0.5) / 2.0
    torch.testing.assert_close(trunk.eval()(image), want, rtol=1e-4, atol=1e-5)


def test_the_layers_up_to_a_map():
    trunk = BackboneTrunk(timm.create_model("tf_efficientnet_lite0", features_only=True))
    names = {id(p): name for name, p in trunk.backbone.named_parameters()}
    early = {names[id(p)].rpartition(".")[0] for p in trunk.parameters_up_to(4)}
    assert {"conv_stem", "bn1", "blocks.0.0.conv_dw", "blocks.1.1.bn3"} <= early
    assert not any(name.startswith("blocks.2") for name in early)
    with pytest.raises(InvalidValue, match="strides 4, 8, 16, 32, not 2"):
        trunk.parameters_up_to(2)


def test_backbone_without_stride_16():
    backbone = timm.create_model("casvit_xs", features_only=True, out_indices=(0, 1, 3))
    with pytest.raises(InvalidValue, match="strides 4, 8, 32"):
        BackboneTrunk(backbone)


def test_parts_are_passed_in():
    decoder = MaskDecoder(128, num_multimask=2, mlp_dim=64)
    model = create_tam("pocketeye_tam_pico", 64, mask_decoder=decoder)
    assert model.mask_decoder is decoder


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("efficienttam_ti512", {}, "Did you mean 'efficienttam_ti"),
        ("efficienttam_ti", {"image_size": 500}, "near it: 496x496"),
        ("efficienttam_ti", {"image_size": (0, 64)}, "near it: 16x64"),
        ("efficienttam_ti_1", {"image_size": (272, 512)}, "17x32 has an odd side"),
        ("efficienttam_ti", {"mask_decodr": nn.Identity()}, "Did you mean 'mask_decoder'"),
        ("efficienttam_ti", {"trunk": "casvit_x"}, "Did you mean 'casvit_"),
        ("efficienttam_ti", {"trunk": "x", "image_encoder": nn.Identity()}, "either"),
    ],
)
def test_mistakes(name, options, sentence):
    with torch.device("meta"), pytest.raises(InvalidValue, match=sentence):
        create_tam(name, **options)


@torch.no_grad()
def test_prompt_positions_follow_loaded_frequencies(small):
    """The position of a cell is that of a click on its centre."""
    fresh = create_tam("pocketeye_tam_pico", RECTANGLE).eval()
    fresh.load_state_dict(small.state_dict())
    centre = torch.tensor([[[16 * 7 + 7.5, 16 * 2 + 7.5]]])
    token = fresh.prompt_encoder(centre, torch.tensor([[1]]))[0][0, 0]
    place = token - fresh.prompt_encoder.point_embeddings[1].weight[0]
    torch.testing.assert_close(fresh.prompt_encoder.dense_pos[0, :, 2, 7], place, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_given_mask_is_the_answer(small):
    raw = small.encode_image(draws(1, 3, *RECTANGLE)).feat
    mask = torch.zeros(2, 1, *RECTANGLE)
    mask[0, :, 16:48, 32:80] = 1
    said = small.adopt_mask(raw, mask)
    assert torch.equal(said.mask[0, 0] > 0, mask[0, 0, ::4, ::4] > 0)
    assert (said.score > 0).flatten().tolist() == [True, False]
    assert torch.equal(said.pointer[1], small.no_obj_ptr[0])
    assert not torch.equal(said.pointer[0], small.no_obj_ptr[0])


@torch.no_grad()
def test_an_absent_object_has_no_mask_and_no_pointer(small):
    raw = small.encode_image(draws(1, 3, *RECTANGLE)).feat
    bias = small.mask_decoder.pred_obj_score_head.layers[-1].bias
    bias -= 100
    said = small.predict(raw)
    bias += 100
    assert (said.masks == -1024).all()
    assert torch.equal(said.pointer, small.no_obj_ptr)
    assert (small.predict(raw).masks != -1024).all()
    assert (as_prompt(said.mask) == -32).all()


def test_how_many_masks(small):
    raw = small.encode_image(draws(1, 3, *RECTANGLE)).feat
    for num_points, num_masks in ((0, 3), (1, 3), (2, 1), (3, 1)):
        points = torch.ones(1, num_points, 2) if num_points else None
        labels = torch.ones(1, num_points, dtype=torch.int64) if num_points else None
        assert small.predict(raw, points, labels).masks.shape[1] == num_masks


def test_unstable_single_mask_gives_way():
    masks = torch.full((3, 4, 2, 50), -5.0)
    masks[0, 0] = 1.0  # stable
    masks[1, 0, 0, :49], masks[1, 0, 0, 49:], masks[1, 0, 1] = 1.0, 0.0, -1.0  # 49 of 50: just so
    masks[2, 0, 0, :48], masks[2, 0, 0, 48:], masks[2, 0, 1] = 1.0, 0.0, -1.0
    masks[:, 2] = 7.0
    ious = torch.tensor([[0.1, 0.2, 0.9, 0.3]] * 3)
    got, expected = stable_or_best(masks, ious, 0.05, 0.98)
    assert torch.equal(got[:2, 0], masks[:2, 0])
    assert torch.equal(got[2, 0], masks[2, 2])
    torch.testing.assert_close(expected, torch.tensor([[0.1], [0.1], [0.9]]))
    nothing = torch.full((1, 4, 2, 2), -9.0)
    assert stable_or_best(nothing, ious[:1], 0.05, 0.98)[1].item() == pytest.approx(0.1)


@torch.no_grad()
def test_memory_of_a_prompted_frame_can_be_binary(small):
    raw = small.encode_image(draws(1, 3, *RECTANGLE))
    mask = draws(1, 1, *RECTANGLE)
    sharp = small.encode_memory(raw, mask, binarize=True)
    torch.testing.assert_close(sharp, small.encode_memory(raw, mask.sign() * 100))
    assert not torch.allclose(sharp, small.encode_memory(raw, mask))
