"""Weights for trackers: official files, files of relatives, and mistakes with either."""

from __future__ import annotations

import pytest
import torch

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import TAM, create_tam, load_checkpoint, read_state_dict
from pocketeye.models.tam import checkpoints
from pocketeye.runs import sha256_of
from tests.parity.official import filled
from tests.parity.tam_keys import tam_keys


@pytest.fixture(scope="module")
def official() -> dict[str, torch.Tensor]:
    """The Ti networks' 455 entries."""
    return filled(tam_keys(192))


@pytest.fixture(scope="module")
def ti() -> TAM:
    return create_tam("efficienttam_ti_512x512")


def test_official_file_loads_strictly(official, ti, tmp_path):
    torch.save({"model": official}, tmp_path / "weights.pt")
    load_checkpoint(ti, tmp_path / "weights.pt")
    own = ti.state_dict()
    assert len(own) == len(official) == 455
    for key, name in {
        "image_encoder.neck.convs.0.norm_1.bias": "image_encoder.neck.norm_1.bias",
        "sam_mask_decoder.iou_token.weight": "mask_decoder.iou_token.weight",
        "memory_attention.norm.weight": "memory_attention.norm.weight",
    }.items():
        assert torch.equal(own[name], official[key])
    load_checkpoint(ti, own)  # our own names, too


def test_incomplete_file(official, ti):
    part = {k: v for k, v in official.items() if k != "no_obj_ptr"}
    with pytest.raises(InvalidValue, match=r"efficienttam_ti_512x512: 1 missing \(no_obj_ptr\)"):
        load_checkpoint(ti, part)


def test_weights_of_the_other_size():
    with torch.device("meta"):
        model = create_tam("efficienttam_ti_1")
        large = {key: torch.empty(shape) for key, shape in tam_keys(384).items()}
    with pytest.raises(InvalidValue, match=r"384 wide.*efficienttam_ti_1 .*192.* efficienttam_s,"):
        load_checkpoint(model, {"model": large})


def test_weights_of_another_network_are_recognised(official, tmp_path):
    model = create_tam("pocketeye_tam_pico", 64)
    nano = create_tam("pocketeye_tam_nano", 64).state_dict()
    with pytest.raises(InvalidValue, match=r"fit pocketeye_tam_pico: .*of pocketeye_tam_nano$"):
        load_checkpoint(model, nano)
    names = "efficienttam_ti or efficienttam_ti_1 or efficienttam_ti_2 or efficienttam_ti_512x512"
    with pytest.raises(InvalidValue, match=f"it is of {names}$"):
        load_checkpoint(model, official)


def test_weights_of_an_older_nano_are_refused_in_one_sentence():
    nano = create_tam("pocketeye_tam_nano", 64)
    older = create_tam("pocketeye_tam_nano", 64, trunk="fbnet_a").state_dict()
    with pytest.raises(InvalidValue, match="another trunk: give --trunk"):
        load_checkpoint(nano, older)
    unnormed = {key: value for key, value in nano.state_dict().items() if ".norms." not in key}
    with pytest.raises(InvalidValue, match="before the maps of a trunk were normed"):
        load_checkpoint(nano, unnormed)


def test_weights_of_another_variant_by_name(official, ti, tmp_path):
    path = tmp_path / "efficienttam_ti_2.pt"
    torch.save({"model": official}, path)
    with pytest.warns(UserWarning, match="efficienttam_ti_2,.* into efficienttam_ti_512x512"):
        load_checkpoint(ti, path)
    path.rename(tmp_path / "efficienttam_ti_512x512.pt")
    load_checkpoint(ti, tmp_path / "efficienttam_ti_512x512.pt")


def test_weights_of_another_variant_by_content(official, ti, tmp_path, monkeypatch):
    path = tmp_path / "efficienttam_ti_512x512.pt"  # as it was renamed
    torch.save({"model": official}, path)
    file = checkpoints.PublishedFile(variant="efficienttam_ti", sha256=sha256_of(path))
    monkeypatch.setattr(checkpoints, "PUBLISHED", {**checkpoints.PUBLISHED, file.variant: file})
    with pytest.warns(UserWarning, match="weights of efficienttam_ti,"):
        load_checkpoint(ti, path)


def test_registry_is_complete():
    assert (
        len(checkpoints.PUBLISHED) == len({p.sha256 for p in checkpoints.PUBLISHED.values()}) == 8
    )
    for variant, published in checkpoints.PUBLISHED.items():
        assert published.variant == variant
        assert len(bytes.fromhex(published.sha256)) == 32
        assert published.url.endswith(f"/resolve/main/{variant}.pt")


def test_file_that_is_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("POCKETEYE_WEIGHTS", str(tmp_path))
    for find in (checkpoints.checkpoint_path, checkpoints.fetch):
        with pytest.raises(MissingFile) as caught:
            find("efficienttam_ti")
        assert "https://huggingface.co/yunyangx" in str(caught.value)
        assert f"put it at {tmp_path / 'efficienttam_ti.pt'}" in str(caught.value)
    with pytest.raises(InvalidValue, match="Did you mean 'efficienttam_ti'"):
        checkpoints.fetch("efficienttam-ti")


def test_fetched_files_are_verified(tmp_path, monkeypatch):
    def download(repo: str, name: str, local_dir: object) -> None:
        (tmp_path / name).write_bytes(b"fetched")

    monkeypatch.setattr(checkpoints, "hf_hub_download", download)
    with pytest.raises(InvalidValue, match=r"not the published file .*sha256"):
        checkpoints.fetch("efficienttam_ti", tmp_path)
    path = tmp_path / "efficienttam_ti.pt"
    file = checkpoints.PublishedFile(variant="efficienttam_ti", sha256=sha256_of(path))
    monkeypatch.setattr(checkpoints, "PUBLISHED", {file.variant: file})
    path.unlink()
    assert checkpoints.fetch("efficienttam_ti", tmp_path) == path
    assert checkpoints.checkpoint_path("efficienttam_ti", tmp_path) == path


def test_start_from_sam2(official):
    """Everything but the encoder, even where a Hiera has an entry of the same name and shape."""
    model = create_tam("efficienttam_ti_512x512")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    sam2 = {k: v for k, v in official.items() if not k.startswith("image_encoder.")}
    sam2 |= {
        "image_encoder.trunk.patch_embed.proj.bias": torch.ones(192),
        "image_encoder.trunk.blocks.0.norm1.weight": torch.zeros(112),
        "no_obj_embed_spatial": torch.zeros(1, 64),
        "sam_mask_decoder.conv_s0.weight": torch.zeros(32, 256, 1, 1),
    }
    done = checkpoints.initialize(model, sam2, "sam2.1_hiera_tiny.pt")
    assert len(done.taken) == 302
    assert len(done.left) == 4
    assert "no_obj_embed_spatial" in done.left
    assert len(done.unchanged) == 153
    assert all(name.startswith("image_encoder.") for name in done.unchanged)
    assert str(done).startswith("sam2.1_hiera_tiny.pt: 302 entries taken, 4 of the file left, 153")
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in done.unchanged)
    score = "pred_obj_score_head.layers.2.weight"
    assert torch.equal(after[f"mask_decoder.{score}"], official[f"sam_mask_decoder.{score}"])


def efficient_sam(official: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encoder under EfficientSAM's names, with an entry of its own prompt encoder."""
    trunk, neck = "image_encoder.trunk.", "image_encoder.neck.convs.0."
    parts = {"conv_1x1": 0, "norm_0": 1, "conv_3x3": 2, "norm_1": 3}
    file = {"prompt_encoder.not_a_point_embed.weight": torch.full((1, 256), 9.0)}
    for key, value in official.items():
        if key.startswith(trunk):
            name = key.removeprefix(trunk)
            name = name.replace("mlp.layers.0", "mlp.fc1").replace("mlp.layers.1", "mlp.fc2")
            file[f"image_encoder.{name}"] = value
        elif key.startswith(neck):
            part, leaf = key.removeprefix(neck).split(".")
            file[f"image_encoder.neck.{parts[part]}.{leaf}"] = value
    return file


def test_start_from_efficient_sam(official, tmp_path):
    model = create_tam("efficienttam_ti_512x512")
    torch.save({"model": efficient_sam(official)}, tmp_path / "efficient_sam_vitt.pt")
    done = checkpoints.initialize(model, read_state_dict(tmp_path / "efficient_sam_vitt.pt"))
    assert len(done.taken) == 153
    assert done.left == ("prompt_encoder.not_a_point_embed.weight",)
    own = model.state_dict()
    for key, value in official.items():
        if key.startswith("image_encoder."):
            assert torch.equal(own[checkpoints._renamed(key)], value)


def test_nothing_fits(ti):
    with pytest.raises(InvalidValue, match=r"nothing .*fits efficienttam_ti_512x512"):
        checkpoints.initialize(ti, {"head.weight": torch.zeros(3)})
