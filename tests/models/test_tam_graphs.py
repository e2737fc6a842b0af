"""The graphs of a tracker compute what the network computes, in another order of channels and pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pocketeye.errors import InvalidValue
from pocketeye.layers import normalise
from pocketeye.models import TAM, create_tam
from pocketeye.models.tam import ImageFeatures, Memory, MemoryAttention
from pocketeye.models.tam.graphs import (
    DecodeGraph,
    ImageGraph,
    PlaceGraph,
    PromptGraph,
    ReadGraph,
    WriteGraph,
)
from pocketeye.models.tam.graphs.layers import (
    halves,
    in_cells,
    in_quarters,
    out_of_quarters,
)
from pocketeye.models.tam.prompt_numbers import BOTTOM_RIGHT, TOP_LEFT
from tests.conftest import randomise_bn
from tests.models.test_tam import draws, randomised

SIZE = (64, 96)  # not square: rows and columns must not be exchanged


@pytest.fixture(
    scope="module",
    params=[
        "pocketeye_tam_nano",
        "efficienttam_ti_512x512",
        "efficienttam_ti_1",
        "efficienttam_ti_2",
    ],
)
def model(request) -> TAM:
    made = randomise_bn(randomised(create_tam(request.param, SIZE)))
    assert isinstance(made, TAM)
    return made.eval().requires_grad_(False)


def rows(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def near(got: Tensor, want: Tensor) -> bool:
    assert got.shape == want.shape
    return bool((got - want).norm() <= 2e-5 * want.norm().clamp(min=1e-6))


def run(graph: Any, **given: Tensor) -> dict[str, Tensor]:
    """The outputs by name; what is not given is as in the example."""
    example = dict(zip(graph.input_names, graph.example(), strict=True))
    assert all(given[name].shape == x.shape for name, x in example.items() if name in given)
    inputs = [given.get(name, x) for name, x in example.items()]
    found = graph.eval()(*inputs)
    return dict(
        zip(graph.output_names, (found,) if isinstance(found, Tensor) else found, strict=True)
    )


def seen_in(model: TAM, seed: int) -> tuple[ImageFeatures, dict[str, Tensor]]:
    """An image by the network and by its graph."""
    pixels = np.random.default_rng(seed).integers(0, 256, (1, *SIZE, 3), np.uint8)
    image = torch.from_numpy(pixels)
    features = model.encode_image(normalise(image.permute(0, 3, 1, 2) / 255))
    return features, run(ImageGraph(model), image=image)


def test_image(model):
    want, got = seen_in(model, 0)
    assert near(got["feat"], rows(want.feat))
    if model.matching is not None:
        keys = torch.nn.functional.normalize(model.matching.key(want.feat), dim=1)
        assert near(got["match_key"], rows(keys))
    if model.target is not None:
        assert near(got["target_key"], rows(model.target.keys(want)))


def test_pixels_cell_by_cell():
    height, width = 3, 5
    image = torch.arange(16.0 * height * width).view(1, 1, 4 * height, 4 * width)
    assert torch.equal(
        out_of_quarters(in_quarters(rows(image), height, width).mT, height, width), image
    )
    small = image[:, :, : 2 * height, : 2 * width]
    cells = in_cells(rows(small), height, width).view(height, width, 2, 2)
    assert torch.equal(cells[1, 2], small[0, 0, 2:4, 4:6])


PROMPTS = {
    "click": ([[40.0, 30.0]], [1], False),
    "correction": ([[40.0, 30.0], [5.0, 60.0]], [1, 0], True),
    "box": ([[10.0, 12.0], [70.0, 55.0]], [TOP_LEFT, BOTTOM_RIGHT], False),
    "none": ([[0.0, 0.0]], [-1], True),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts(model, name):
    points, labels, masked = PROMPTS[name]
    features, seen = seen_in(model, 0)
    at, kinds = torch.tensor([points]), torch.tensor([labels])
    mask = draws(1, 1, SIZE[0] // 4, SIZE[1] // 4) * 9 if masked else None
    want = model.decode(model.without_memory(features.feat), at, kinds, mask, features.details)
    # More places than points: the others are seen by nobody.
    filled = torch.full((1, 5), -2.0)
    filled[:, : len(labels)] = kinds
    given = {**seen, "known": seen["feat"] + model.no_mem_embed.view(1, 1, -1)}
    given["points"] = torch.cat([at, torch.full((1, 5 - len(points), 2), 33.0)], 1)
    given |= {"labels": filled} | (
        {} if mask is None else {"mask": mask, "mask_on": torch.ones(1, 1)}
    )
    if model.target is not None:  # not used: no memory was read
        given["target"] = draws(1, model.target.key_dim + 1)
    got = run(PromptGraph(model, 5), **given)
    assert near(got["masks"], want.masks)
    assert near(got["ious"], want.ious)
    assert near(got["score"], want.score)
    assert near(got["pointers"], model.obj_ptr_proj(want.tokens))


def test_memory(model):
    """Maps that are written, aged and read; one place of the bank is empty."""
    order, slots = halves(model.dim), [model.num_maskmem - 1, 2, 0]
    maps: list[Memory] = []
    bank: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    for seed in range(3):
        features, seen = seen_in(model, seed)
        mask = draws(1, 1, SIZE[0] // 4, SIZE[1] // 4, seed=seed) * 4
        binarize = seed == 0
        maps.append(model.prepare_map(model.encode_memory(features, mask, binarize)))
        given = {**seen, "mask": mask, "binarize": torch.full((1, 1), float(binarize))}
        bank.append((run(WriteGraph(model, 1), **given), seen))
        written, several = bank[-1][0], "pooled_" if "pooled_keys" in bank[-1][0] else ""
        assert near(written[f"{several}keys"], maps[-1].keys[..., order])
        assert near(written[f"{several}values"], maps[-1].values)
        if model.target is not None:
            assert near(written["target_sums"], maps[-1].target)
    features, seen = seen_in(model, 3)
    pointers = draws(1, 2, model.dim)
    memory = model.gather(maps, slots, model.slot_keys(), pointers)
    read = features._replace(feat=model.memory_attention.read(features.feat, memory))
    if model.matching is not None:
        read = read._replace(feat=read.feat + model.matching(features.feat, memory.match))
    graph = ReadGraph(model, 4, 1, 3)
    given = filled(graph, model, [*bank, bank[0]], [*slots, slots[0]], several)
    given["pointers"][:, :2], given["pointer_bias"][:, :2], given["map_bias"][:, :3] = (
        pointers,
        0,
        0,
    )
    got = run(graph, **{**given, **seen})["read"]
    assert near(got, rows(read.feat))
    decoded = {**seen, "read": got}
    if model.target is not None:
        moments, with_mask = memory.target.split([65, 1], 2)
        ridge = model.target.ridge.exp() * torch.eye(65)
        decoded["target"] = torch.linalg.solve(moments + ridge, with_mask)[..., 0]
        read = model.target(features, memory.target, read.feat)
    want = model.decode(read.feat, details=read.details)
    found = run(DecodeGraph(model, 1), **decoded)
    assert near(found["masks"], want.masks)
    assert near(found["ious"], want.ious)


def filled(
    graph: ReadGraph, model: TAM, bank: list[Any], slots: list[int], several: str
) -> dict[str, Tensor]:
    """The inputs of a bank with a map in every place."""
    ages = [run(PlaceGraph(model), embedding=model.maskmem_tpos_enc[s].view(1, -1)) for s in slots]
    given = dict(zip(graph.input_names, graph.example(), strict=True))
    pairs = zip(bank, ages, strict=True)
    given["keys"] = torch.cat([w[f"{several}keys"] + a[f"{several}keys"] for (w, _), a in pairs], 2)
    given["values"] = torch.cat([written[f"{several}values"] for written, _ in bank], 1)
    if model.matching is not None:
        given["match_keys"] = torch.cat([seen["match_key"] for _, seen in bank], 1)
        given["match_masks"] = torch.cat([written["match_masks"] for written, _ in bank], 1)
    return given


def test_a_single_map_is_read_whole(model):
    features, seen = seen_in(model, 0)
    mask, pointer = draws(1, 1, SIZE[0] // 4, SIZE[1] // 4) * 4, draws(1, 1, model.dim)
    raw = model.encode_memory(features, mask)
    prepared = model.prepare_map(raw, pooled=False)
    memory = model.gather([prepared], [6], model.slot_keys(pooled=False), pointer)
    want = model.memory_attention.read(features.feat, memory)
    if model.matching is not None:
        want = want + model.matching(features.feat, memory.match)
    written = run(WriteGraph(model, 1), **seen, mask=mask)
    graph = ReadGraph(model, 1, 1, 1)
    given = filled(graph, model, [(written, seen)], [6], "")
    assert near(run(graph, **{**given, **seen, "pointers": pointer})["read"], rows(want))


def test_several_heads_are_refused():
    attention = MemoryAttention((4, 6), 128, 64, 1, num_heads=2, ffn_dim=8)
    made = create_tam("pocketeye_tam_nano", SIZE, memory_attention=attention)
    with pytest.raises(InvalidValue, match="several heads"):
        PlaceGraph(made)
