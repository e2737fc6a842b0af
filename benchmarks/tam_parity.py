"""How far EfficientTAM here is from the official network, stage by stage, as a table.

    python -m benchmarks.tam_parity --data ../shared/datasets --results results/tam-parity

Runs the comparisons of ``tests/parity`` (outputs of the official code lie there) once as written and
once with products by oneDNN, as a session computes, and writes the largest differences in shares of the
output's standard deviation. Of masks from prompts ``rounding`` is our fp32 against our fp64: these
weights make the decoder's softmax all but a choice of one, so the last bit of an input counts.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tables import write_results
from tables_tracking import tam_parity
from tests.parity import test_tam, test_tam_clip
from tests.parity.official import draw, filled
from tests.parity.tam_keys import tam_keys

from pocketeye.latency.device import Device
from pocketeye.layers import onednn_products
from pocketeye.models import create_tam, load_checkpoint
from pocketeye.provenance import environment

ROOT = Path(__file__).resolve().parents[1]
MEMORY = ((1, 0), (1, 4), (2, 4), (7, 64))


@contextmanager
def collected() -> Iterator[list[float]]:
    """The comparisons of the tests, which then write down what they find."""
    found: list[float] = []

    def note(got: torch.Tensor, want: np.ndarray, share: float = 0) -> None:
        want = want.reshape(-1)
        part = test_tam.stored_part(got, want.size)
        found.append(float(np.abs(part - want).max() / (want.std() or np.abs(want).max())))

    kept, test_tam.assert_parity = test_tam.assert_parity, note
    try:
        yield found
    finally:
        test_tam.assert_parity = kept


def stages(name: str) -> dict[str, tuple[float, float | None]]:
    """The worst of each stage; and rounding, where that is more."""
    model = load_checkpoint(create_tam(name), {"model": filled(tam_keys(192))}).eval()
    with np.load(ROOT / "tests" / "parity" / f"{name}.npz") as stored:
        expected = dict(stored)
    feat = test_tam.tensor(draw("feat", (1, 256, *model.feat_size)))
    rows: dict[str, tuple[float, float | None]] = {}
    with collected() as found:

        def row(stage: str, rounding: float | None = None) -> None:
            rows[stage] = max(found), rounding
            found.clear()

        test_tam.test_image_encoder(model, expected)
        row("image encoder")
        test_tam.test_memory_encoder(model, feat, expected)
        row("memory encoder")
        for maps, pointers in MEMORY:
            test_tam.test_memory_attention(model, feat, expected, maps, pointers)
            row(f"memory attention, {maps} map{'s' if maps > 1 else ''}, {pointers} pointer tokens")
        for prompt in test_tam.PROMPTS:
            masks = test_tam.decoded(model, feat, prompt)
            exact = test_tam.decoded(copy.deepcopy(model).double(), feat.double(), prompt)
            test_tam.test_heads(model, feat, expected, prompt)
            row(f"masks, prompt: {prompt}", ((masks - exact).abs().max() / exact.std()).item())
    return rows


def clip(data: Path, prepared: bool) -> float:
    """The worst of eight tracked frames."""
    model = load_checkpoint(create_tam("efficienttam_ti_512x512"), filled(tam_keys(192))).eval()
    model.mask_decoder.pred_obj_score_head.layers[-1].bias.data.fill_(8)  # type: ignore[union-attr, operator]
    folder = data / "davis2016-train" / "JPEGImages" / "270p" / "bear"
    images = [Image.open(folder / f"{n:05d}.jpg").convert("RGB") for n in range(8)]
    with np.load(ROOT / "tests" / "parity" / "clip_ti_512x512.npz") as stored:
        expected = dict(stored)
    worst = 0.0
    for number, (mask, _) in enumerate(test_tam_clip.track(model, images, prepared)):
        want = expected[f"frame{number}"].reshape(-1)
        shown = torch.nn.functional.interpolate(mask, size=images[0].size[::-1], mode="bilinear")
        got = test_tam_clip.stored_part(shown, want.size)
        worst = max(worst, float(np.abs(got - want).max() / want.std()))
    return worst


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    args = parser.parse_args()
    record: dict[str, Any] = {"environment": environment()}
    for name in ("efficienttam_ti_512x512", "efficienttam_ti_1"):
        plain = stages(name)
        with onednn_products():
            record[name] = {"plain": plain, "onednn": stages(name)}
    raw = clip(args.data, prepared=False)
    with onednn_products():
        ours = clip(args.data, prepared=True)
    record["clip"] = {"plain": raw, "onednn": ours}
    device = f"{Device.here()}, torch {torch.__version__}"
    record["caption"] = f"{device}. Shares of the standard deviation."
    write_results(args.results, record, tam_parity)


if __name__ == "__main__":
    main()
