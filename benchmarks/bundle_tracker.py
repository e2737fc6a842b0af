"""Put a trained tracker into the package: its weights in half precision, under its name.

    python -m benchmarks.bundle_tracker out/track-nano

Prints the size, and how far rounding moves the masks of a click and of a tracked frame on noise, in
standard deviations of the logits; what it costs in J&F is measured by ``pocketeye eval`` with
the run and with the bundled name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from benchmarks.bundle_run import BEST, FOLDER, halved, save
from safetensors.torch import load_file

from pocketeye.models import TAM, create_tam
from pocketeye.models.tam.described import TrackerDescription

MOST_MB = 12


@torch.inference_mode()
def answers(model: TAM) -> list[torch.Tensor]:
    """Masks of a click, and of the frame after it."""
    torch.manual_seed(0)
    first, second = torch.randn(2, 3, *model.image_size).split(1)
    image = model.encode_image(first)
    click, label = torch.tensor([[[64.0, 64.0]]]), torch.tensor([[1]])
    said = model.predict(model.without_memory(image.feat), click, label, details=image.details)
    left = model.encode_memory(image, said.mask, True)
    slots = [model.num_maskmem - 1]
    read = model.read_raw(model.encode_image(second), [left], slots, said.pointer[:, None])
    return [said.masks, model.mask_decoder(read.feat, *prompts(model), read.details).masks]


def prompts(model: TAM) -> tuple[torch.Tensor, ...]:
    """What the mask decoder is told of a frame without prompts."""
    none = torch.zeros(1, 1, 2), torch.full((1, 1), -1)
    return model.prompt_encoder.dense_pos, *model.prompt_encoder(*none, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    args = parser.parse_args()
    name = TrackerDescription.load(args.run).variant
    whole, small = load_file(args.run / BEST), halved(args.run / BEST)
    models = []
    for weights in (whole, small):
        model = create_tam(name).eval()
        model.load_state_dict(weights)
        models.append(answers(model))
    path = FOLDER / f"{name}.safetensors"
    size = save(small, path, variant=name)
    if size > MOST_MB:
        path.unlink()
        raise SystemExit(f"{name} takes {size:.1f} MB, more than {MOST_MB}")
    off = [((b - a).abs().max() / a.std()).item() for a, b in zip(*models, strict=True)]
    print(f"wrote {path.name}: {size:.2f} MB; masks off by {off[0]:.1e} and {off[1]:.1e} std")


if __name__ == "__main__":
    main()
