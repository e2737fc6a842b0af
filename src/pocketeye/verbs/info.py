"""``pocketeye info``: what a network or a data set is."""

from __future__ import annotations

from pathlib import Path

from pocketeye.cards.artifact import artifact_info
from pocketeye.cards.data import data_info
from pocketeye.cards.dense import dense_info
from pocketeye.cards.network import network_info
from pocketeye.cards.tracker import tracker_info
from pocketeye.errors import InvalidValue
from pocketeye.models.reference import ArtifactFolder, Run, require_name, resolve
from pocketeye.reading import exists
from pocketeye.verb_result import Information
from pocketeye.verbs._options import refuse


def info(
    model: str,
    *,
    input_size: int | None = None,
    results: Path = Path("results"),
    split: str | None = None,
    classes: str | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> Information:
    """Show what a network, an artefact or a data set is.

    Of a network: what it costs, what was published and measured, its blocks or stages. Of a tracker: its
    parts, what was published, and which file of weights belongs where. Of an artefact: what it was
    made of, its runtime, and its parity. Of a data set: images, classes with counts, sizes, and what is
    wrong with it.

    Args:
        model: a name from `pocketeye list`, any timm name, an architecture.json, a run folder, the
            folder of an artefact, or a data set.
        input_size: of classifiers and trackers: side of the image in pixels; the network's own by
            default.
        results: folder of latency records, where there is one.
        split: of a data set only this one, such as train; all by default.
        classes: what the masks of a data set mean: a yaml, or camvid11, cityscapes.
        out: image to draw samples of a data set into, such as samples.png.
        overwrite: replace that image.

    Raises:
        InvalidValue: unknown name, or a damaged file.
        MissingFile: no network or data at that path.
    """
    require_name(model)
    if exists(Path(model)):
        data = data_info(Path(model), split, classes, out, overwrite)
        if data is not None:
            return data
    if split or classes or out:
        raise InvalidValue(
            f"{model} is no data set that is known: --split, --classes and --out are for those"
        )
    named = resolve(model)
    if isinstance(named, ArtifactFolder):
        refuse("an artefact", input_size=input_size)
        return artifact_info(model, named)
    if named.task.takes_prompts:
        return tracker_info(model, named, input_size)
    if named.task.is_dense:
        assert isinstance(named, Run)  # no name stands for a whole detector
        refuse(named.task.kind, input_size=input_size)
        return dense_info(model, named.folder)
    return network_info(model, named, input_size=input_size, results=results)
