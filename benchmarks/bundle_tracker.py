"""Put a trained tracker into the package: its weights in half precision, under its name, and its graphs.

    python -m benchmarks.bundle_tracker out/track-nano
    python -m benchmarks.bundle_tracker --graphs pocketeye_tam_nano     # the graphs alone, anew

The graphs are those of ``pocketeye export NAME --precision fp16`` without notes for profiles. Of a run
it prints the size, and how far rounding moves the masks of a click and of a tracked frame on noise, in
standard deviations of the logits; what it costs in J&F is measured by ``pocketeye eval`` with
the run and with the bundled name.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import torch
from benchmarks.bundle_run import BEST, FOLDER, halved, save
from safetensors.torch import load_file

from pocketeye.artifacts.tracker import TrackerManifest
from pocketeye.exporting.exported import ExportOptions
from pocketeye.exporting.tracker.export import export_tracker
from pocketeye.models import TAM, create_tam
from pocketeye.models.reference import Named
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.models.task import TRACK
from pocketeye.runs import MANIFEST, sha256_of
from pocketeye.runtimes import Artifact
from pocketeye.runtimes._store import SHA256, seal
from pocketeye.runtimes.onnx.onnxruntime import FILE
from pocketeye.runtimes.onnx.shared import WEIGHTS

MOST_MB = 12
_KEPT = (MANIFEST, FILE, TrackerManifest.FILE, TrackerManifest.CURVE, WEIGHTS)


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


def bundle_graphs(name: str) -> None:
    """Export the tracker that comes along, and keep of its artefact what a session reads."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        named = Named(name=name, task=TRACK)
        exported = export_tracker(named, ExportOptions(precision="fp16", out=whole))
        if exported.status == "FAIL":
            raise SystemExit(f"the graphs of {name} do not track what the network tracks")
        folder = FOLDER / f"{name}.onnxruntime"
        shutil.rmtree(folder, ignore_errors=True)
        for file in (*_KEPT, *(p.relative_to(whole) for p in whole.glob("*/*"))):
            if (whole / file).is_file():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(whole / file, folder / file)
    for manifest in folder.rglob(MANIFEST):
        strip(Artifact.load(manifest.parent))
    seal(Artifact.load(folder))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    print(f"wrote {folder.name}: {size:.2f} MB")
    print("\n".join(exported.agreement.lines() if exported.agreement else ()))


def strip(artifact: Artifact) -> None:
    """Leave out what only profiles and exporters read: most bytes of a graph without weights."""
    model = onnx.load(artifact.path, load_external_data=False)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    for part in (model, model.graph, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    del model.graph.value_info[:]
    artifact.path.write_bytes(model.SerializeToString())
    replace(artifact, extra={**artifact.extra, SHA256: sha256_of(artifact.path)}).save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument(
        "--graphs", metavar="NAME", help="write the graphs of what comes along anew"
    )
    args = parser.parse_args()
    if args.graphs:
        bundle_graphs(args.graphs)
        return
    if args.run is None:
        parser.error("name a run, or --graphs NAME")
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
    print("its confidence is measured next (track_confidence), then its graphs are made (--graphs)")


if __name__ == "__main__":
    main()
