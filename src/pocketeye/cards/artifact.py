"""Write the card of an exported artefact: what was exported, for which runtime, how well it agrees."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from pocketeye.cards.text import wrapped
from pocketeye.models.reference import ArtifactFolder
from pocketeye.models.task import Task
from pocketeye.runs import MANIFEST, read_origin
from pocketeye.runtimes import PARITY, Artifact, ParityReport
from pocketeye.text import human_bytes, human_count
from pocketeye.verb_result import Information


@dataclass(frozen=True, kw_only=True)
class ArtifactInfo(Information):
    """Say what an artefact is.

    Attributes:
        model: what the user called it.
        origin: what ``export.json`` says of the network; empty without that file.
        parity: against the network in torch, None where nobody compared.
    """

    model: str
    task: Task
    artifact: Artifact
    size_bytes: int
    origin: dict[str, Any]
    parity: ParityReport | None

    def to_dict(self) -> dict[str, Any]:
        artifact = self.artifact
        return {
            "model": self.model,
            "task": self.task.name,
            "runtime": artifact.runtime,
            "precision": artifact.precision,
            "inputs": {spec.name: list(spec.shape) for spec in artifact.inputs},
            "outputs": {spec.name: list(spec.shape) for spec in artifact.outputs},
            "size_bytes": self.size_bytes,
            "origin": self.origin,
            "parity": self.parity.to_dict() if self.parity else None,
        }

    def lines(self) -> list[str]:
        artifact, origin = self.artifact, self.origin
        # An artefact of another program has no note of its origin: the folder gives the name.
        name = origin.get("name", artifact.folder.resolve().name)
        shapes = "; ".join(f"{s.name} {'×'.join(map(str, s.shape))}" for s in artifact.inputs)
        counts = [
            f"{human_count(origin[key])} {label}"
            for key, label in (("params", "parameters"), ("macs", "MACs"))
            if origin.get(key)
        ]
        rows = [
            ("made of", ", ".join([str(name), *counts])),
            ("runtime", f"{artifact.runtime}, {artifact.precision}"),
            ("input", shapes),
            ("size", human_bytes(self.size_bytes)),
            (
                "parity",
                " ".join(self.parity.lines()).removeprefix("parity ")
                if self.parity
                else "not compared",
            ),
            ("made", str(origin.get("created", "unknown")).replace("T", " ")),
        ]
        head = f"[bold]{escape(self.model)}[/bold]: an artefact of {self.task.kind}"
        return [head, "", *(line for label, text in rows for line in wrapped(text, label, 12))]

    def next_commands(self) -> list[str]:
        model = shlex.quote(self.model)
        return [f"pocketeye predict {model} IMAGE", f"pocketeye bench {model}"]


def artifact_info(model: str, named: ArtifactFolder) -> ArtifactInfo:
    """Describe an artefact from the files in its folder.

    Raises:
        InvalidValue, MissingFile: one of them is damaged.
    """
    artifact = Artifact.load(named.folder)
    parity = named.folder / PARITY
    # Mask R-CNN has two more graphs in folders of their own
    graphs = [artifact, *(Artifact.load(p.parent) for p in named.folder.glob(f"*/{MANIFEST}"))]
    return ArtifactInfo(
        model=model,
        task=named.task,
        artifact=artifact,
        size_bytes=sum(graph.size_bytes for graph in graphs),
        origin=read_origin(named.folder),
        parity=ParityReport.load(parity) if parity.is_file() else None,
    )
