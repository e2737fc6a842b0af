"""Run ``pocketeye search``: a network for a device and a latency, found, trained, explained."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pocketeye import progress
from pocketeye.errors import InvalidValue
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.table import LatencyTable
from pocketeye.models.size import size_text
from pocketeye.runs import RECIPE, RunFolder
from pocketeye.runtimes import Precision
from pocketeye.searching import stages
from pocketeye.searching.choosing.choose import require_choice
from pocketeye.searching.choosing.request import (
    DeviceTarget,
    LibraryRequest,
    open_images,
    open_library,
    theta_settings,
)
from pocketeye.searching.config import Mode, SearchConfig
from pocketeye.searching.deriving.derive import DeriveConfig
from pocketeye.searching.library.network import NamedNetwork, open_network
from pocketeye.searching.objective import ObjectiveName
from pocketeye.searching.tasks import (
    SearchRequest,
    open_classification,
    open_segmentation,
    task_of,
    usual_batch,
)
from pocketeye.training.engine import check_device
from pocketeye.verbs._options import remembering, to_remember
from pocketeye.verbs.search.result import SearchResult
from pocketeye.verbs.search.run import outlook, run_stages
from pocketeye.verbs.search.table import open_table

logger = logging.getLogger(__name__)
_MAKE: dict[Mode, Callable[..., SearchConfig]] = {
    "fast": SearchConfig, "paper": SearchConfig.paper, "library": SearchConfig.library,
}  # fmt: skip


@remembering
def search(
    space: str | None = None,
    *,
    network: str | None = None,
    table: Path | None = None,
    target_ms: float | None = None,
    data: str = "digits",
    classes: str | None = None,
    out: Path | None = None,
    labels: bool = True,
    mode: Mode | None = None,
    teacher: str | None = None,
    teacher_epochs: int | None = None,
    library: Path | None = None,
    library_epochs: int | None = None,
    tune_steps: int | None = None,
    max_trainings: float | None = None,
    trained: list[Path] | None = None,
    distill: bool = True,
    objective: ObjectiveName | None = None,
    epochs: int | None = None,
    warmup_epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    candidates: int = 12,
    measure_top: int = 6,
    tolerance: float = 0.02,
    rounds: int | None = None,
    retrain: bool = True,
    train_recipe: str | None = None,
    train_epochs: int | None = None,
    runtime: str | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    train_precision: Literal["fp32", "bf16"] = "fp32",
    num_processes: int = 1,
    workers: int = 0,
    resume: bool = False,
    overwrite: bool = False,
) -> SearchResult:
    """Search the most accurate network within a latency on this device, measure it, train it.

    Runtime, precision, threads, input size and widths are those the latency table was measured
    with. Everything ends up in one folder with a report; an interrupted search goes on with
    --resume --out FOLDER, and remembers all other options.

    Args:
        space: the search space, by default the one the table was measured for. Another one must have
            the same blocks: blood-cells, digits, fbnet, fbnet-cifar, fbnet-small, fbnet+casvit,
            fbnet+casvit-cifar, or a YAML file.
        network: a trained network that is to become faster: a run, or the name of published weights
            (tf_efficientnet_lite0, mobilenetv2_100; any chain of inverted residuals). It teaches, and is
            one of the candidates of every layer; the result begins with its weights where nothing
            changed. Measure the table with `pocketeye measure --network` of the same.
        table: latency table made by `pocketeye measure` on this device; needed to begin a search.
        target_ms: budget: milliseconds that one image may take at most; needed to begin a search. The
            most accurate network within it is chosen, however much faster it is.
        data: 'digits', an image folder, or a parquet file. Of semantic ADE20K, Cityscapes, CamVid or
            folders of masks.
        classes: what the masks of semantic mean: a yaml, or camvid11, cityscapes.
        out: folder of the run; out/search-SPACE-TARGETms by default.
        labels: use the labels of the data. With --no-labels, and of images that lie in no class folders,
            the answers of --network are learnt.
        mode: fast (the default), paper (schedules and losses of the paper), or library: every candidate
            learns alone what a teacher does at its place, and the search chooses among candidates that
            have learnt. Of classifiers only; with --network it is the only one.
        teacher: run that teaches in mode library: a trained network of the space, of the same classes.
            By default the largest network of the space is trained for it.
        teacher_epochs: epochs of that training; by default as many as --max-trainings allows.
        library: folder of the library, to keep it in another place. By default it lies beside the
            folder of the run, and every search of the same space, teacher and data finds it there.
        library_epochs: passes over the images in which candidates learn from the teacher; by default
            as much of them as --max-trainings allows.
        tune_steps: in mode library, steps in which each network learns from the teacher before it is
            ranked; 0 for none, by default as many as --max-trainings allows.
        max_trainings: in mode library, what teacher, candidates, theta and ranking may cost together,
            counted in trainings of a network like the one that is searched; 3 by default.
        trained: in mode library, runs of networks of this space on these data, or folders of such
            runs; eight networks or more. Their accuracies correct what the library says of each block.
        distill: in mode library, let the final training learn from the teacher too.
        objective: target (hard target), power, or fbnet (equation 2); by default the mode's own.
        epochs: epochs of the search, warm-up included; by default the mode's own. In mode library
            only theta is trained in them.
        warmup_epochs: epochs at the start that train weights only; a quarter of them by default.
        batch_size: images of a weight step; by default the mode's own, of semantic the recipe's.
        lr: learning rate of the weights; by default the mode's own.
        candidates: networks drawn and ranked; as many random ones are ranked beside them.
        measure_top: best of both kinds that are measured in the runtime.
        tolerance: how far above the budget a measured latency may lie, a fraction of it, as what is
            measured twice differs a little.
        rounds: rounds of the final measurement; the protocol's own by default.
        retrain: train the chosen network: from scratch, in mode library from its taught blocks.
        train_recipe: recipe of that training, a name or a YAML file; one that suits the data by
            default. Of semantic it also says how images are cropped and changed in the search.
        train_epochs: epochs of that training; the recipe's own by default.
        runtime: stop if the table was not measured with this runtime. The search always uses the
            table's runtime; this option only checks that it is the one you expect.
        precision: stop if the table was not measured in this precision.
        threads: stop if the table was not measured with this number of threads.
        seed: of everything random.
        device: where the networks are trained.
        train_precision: fp32, or bf16 mixed precision, of search and training.
        num_processes: data-parallel processes of search and training.
        workers: processes that prepare images.
        resume: go on with the search in the folder --out, whose options need not be said again.
        overwrite: start again in a folder that holds a search.

    Raises:
        InvalidValue: a table that does not fit or is too noisy, a target out of range, data with
            other classes, or no network within the target.
        MissingFile: no table or data at a path.
        UserError: interrupted; says how to go on.
    """
    # Before anything is changed: what the user gave is what is remembered.
    command = to_remember(search, locals())
    # torchrun would start the whole search several times.
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InvalidValue("search starts its processes itself: use --num-processes, not torchrun")
    if table is None or target_ms is None:
        raise InvalidValue(_nothing_to_search(out, resume))
    table = Path(table)
    # Before the table: a device that is not there ends everything.
    check_device(device)
    faster = _open_faster(network, space, table, mode, labels)
    mode = mode or ("fast" if faster is None else "library")
    own = space if faster is None else faster.space
    latencies, shape, timer = open_table(table, own, runtime, precision, threads, target_ms)
    task = task_of(latencies)
    given: dict[str, Any] = {
        "epochs": epochs, "warmup_epochs": _warmup(mode, epochs, warmup_epochs),
        "batch_size": batch_size or usual_batch(task, train_recipe), "lr": lr, "objective": objective,
    }  # fmt: skip
    config = _MAKE[mode](
        target_ms=target_ms, seed=seed, device=device, precision=train_precision,
        # None leaves the mode's own value.
        num_processes=num_processes, workers=workers,
        **(theta_settings(shape) if mode == "library" else {})
        | {key: value for key, value in given.items() if value is not None},
    )  # fmt: skip
    deriving = DeriveConfig(
        candidates=candidates, measure_top=measure_top, tolerance=tolerance, seed=seed
    )
    asked = SearchRequest(
        space=shape, config=config, data=data, classes=classes, recipe=train_recipe,
        epochs=train_epochs, retrain=retrain,
    )  # fmt: skip
    if faster is not None and not task.labels_pixels:
        opened = open_images(faster, asked, labels=labels)
    elif task.labels_pixels:
        opened = open_segmentation(latencies, asked)
    else:
        opened = open_classification(asked)
    wanted = LibraryRequest(
        teacher=teacher, teacher_epochs=teacher_epochs, folder=library, epochs=library_epochs,
        theta_epochs=epochs if mode == "library" else None, tune_steps=tune_steps,
        max_trainings=max_trainings, trained=trained or (), distill=distill,
    )  # fmt: skip
    wanted.refuse_elsewhere(mode)
    folder = out or Path("out") / f"search-{shape.name}-{target_ms:g}ms"
    taught = None
    if mode == "library":
        costs = latencies.matrix(shape)
        require_choice(target_ms, shape, costs)
        # As many random networks are ranked beside those that were drawn.
        target = DeviceTarget(latencies=costs, target_ms=target_ms, num_ranked=2 * candidates)
        taught, opened, config = open_library(wanted, asked, opened, target, folder.parent, faster)
    # What must be the same where the search goes on; device and workers may change.
    decisive = {
        "verb": "search", "space": shape.to_dict(), "table": str(table),
        "table_date": latencies.header.date, "data": data, **opened.decisive,
        "search": _without_machine(config.to_dict()), "derive": asdict(deriving),
        "rounds": rounds, "train": opened.retraining.to_dict() if opened.retraining else None,
    }  # fmt: skip
    with RunFolder.held(
        folder, decisive, resume=resume, overwrite=overwrite, ours=stages.FILES, command=command
    ) as run:
        if opened.recipe is not None:
            # The recipe of the crops, for those who train the network again.
            opened.recipe.save(run / RECIPE)
        plan = stages.Plan(
            space=shape, table=latencies, runtime=timer, problem=opened.problem, train=opened.train,
            val=opened.val, target_ms=target_ms, search=config, derive=deriving,
            retraining=opened.retraining, library=taught,
            protocol=None if rounds is None else Protocol(rounds=rounds), run=run, resume=resume,
        )  # fmt: skip
        # One that goes on has said it before.
        if not resume:
            progress.say(outlook(plan))
        return run_stages(plan, task, table, data, classes)


def _nothing_to_search(out: Path | None, resume: bool) -> str:
    """Say what is missing where table or target are not given, and no run remembers them."""
    if resume and out is not None:
        return f"{out} holds no search to go on with: begin one with --table and --target-ms"
    if resume:
        return "--resume needs the folder of the search (--out), which remembers everything else"
    return "a search needs a latency table (--table) and a target (--target-ms)"


def _open_faster(
    network: str | None, space: str | None, table: Path, mode: Mode | None, labels: bool
) -> NamedNetwork | None:
    """Open the network that is to become faster, if one was named, at the size of the table."""
    if network is None:
        if not labels:
            raise InvalidValue(
                "--no-labels learns the answers of a trained network: name one with --network"
            )
        return None
    if mode not in (None, "library"):
        raise InvalidValue(f"--network is searched in --mode library: leave out --mode {mode}")
    if space is not None:
        raise InvalidValue(
            f"--network {network} makes a space of its own: leave out the space {space}"
        )
    size = LatencyTable.load(table).space().input_size
    if not isinstance(size, int):
        raise InvalidValue(
            f"{table} is for images of {size_text(size)}, and --network sees squares: measure one with "
            f"`pocketeye measure --network {network}`"
        )
    return open_network(network, size)


def _warmup(mode: Mode, epochs: int | None, warmup_epochs: int | None) -> int | None:
    """Return a quarter of the epochs where only those were given, as the mode's own may be too long."""
    # The paper's warm-up is part of what is repeated.
    if warmup_epochs is not None or epochs is None or mode != "fast":
        return warmup_epochs
    return epochs // 4


def _without_machine(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ("device", "workers")}
