"""Open the folder of an exported tracker as an engine for sessions."""

from __future__ import annotations

from pathlib import Path

from pocketeye.artifacts.tracker import TrackerManifest, load_tracker_graphs
from pocketeye.tracking.engine.artifact import ArtifactEngine
from pocketeye.tracking.video.confidence import ConfidenceCurve, read_curve


def open_artifact(
    folder: Path, *, threads: int = 1
) -> tuple[ArtifactEngine, ConfidenceCurve | None]:
    """Return what computes, and the confidence of its masks where it was measured for its weights.

    Args:
        threads: of the runtime.

    Raises:
        MissingFile, InvalidValue: something is gone, damaged or was put together from two
        artefacts. MissingExtra: the runtime is not installed.
    """
    graphs = load_tracker_graphs(folder, threads=threads)
    curve = folder / TrackerManifest.CURVE
    # The manifests describe the curve too: whatever lies there belongs to these weights.
    engine = ArtifactEngine(graphs.manifest.to_dict(), graphs)
    return engine, read_curve(curve) if curve.is_file() else None
