"""How well does each signal of a search rank networks that were trained to the end?

    python benchmarks/search_signals.py --benchmark DIR --search RUN --library FOLDER --data CIFAR10 \\
        --results results/NAME

DIR is of ``search_benchmark.py``: networks of one latency, trained. RUN is a search with
``--mode library`` in the same space, FOLDER its library. Every network is put together from the library
and fine-tuned by the teacher as in the search, for each number of ``--tune-steps``; the sums of single
swaps, theta and plain counts stand beside. Kendall's tau of each with the trained accuracies is written,
with its interval over networks. What was computed lies in ``signals.json`` of DIR: a repeat goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tables import search_signals as render_table, write_results

from pocketeye.data import load_images
from pocketeye.models import Architecture
from pocketeye.models.space import SearchSpace
from pocketeye.provenance import environment
from pocketeye.reading import make
from pocketeye.runs import RESULT, RunFolder, write_json
from pocketeye.searching.choosing.judge import judge_signals
from pocketeye.searching.choosing.rerank import tuned_source
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.deriving.ranking import Judge
from pocketeye.searching.learning.history import THETA, read_theta
from pocketeye.searching.library.config import LibraryConfig
from pocketeye.searching.library.stored import Library
from pocketeye.searching.problem import Classification, side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("benchmark", "search", "library", "results"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--tune-steps", type=int, nargs="+", default=[0, 40])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    plan = json.loads((args.benchmark / "plan.json").read_text())
    networks, truth = trained_networks(args.benchmark, [row["name"] for row in plan["rows"]])
    space, search = settings_of(args.search)
    library = Library.load(args.library, space)
    path = args.benchmark / "signals.json"
    stored = json.loads(path.read_text()) if path.is_file() else {}
    images = Classification(load_images(args.data))
    for steps in args.tune_steps:
        done = stored.setdefault(f"fine-tuned {steps} steps", {})
        judge_networks(
            done, networks, library, images, search, steps, lambda: write_json(path, stored)
        )
    others = {
        f"{name}, {what}": [signs[what] * done[net.name][what] for net in networks]
        for name, done in stored.items()
        for what, signs in (("top-1", {"top-1": 1}), ("loss", {"loss": -1}))
        if all(net.name in done for net in networks)
    }
    with np.errstate(divide="ignore"):  # what theta has given up has no chance left
        theta = np.log(read_theta(args.search / THETA, space)[-1])
    judged = judge_signals(space, networks, truth, swaps=library.swaps, theta=theta, others=others)
    for tau in judged:
        print(tau.sentence())
    record = {
        "space": space.name, "target_ms": plan["target_ms"], "num_networks": len(networks),
        "networks": [net.name for net in networks], "top1": truth,
        "taus": [{"signal": t.signal, "tau": _number(t.value), "low": _number(t.low),
                  "high": _number(t.high)} for t in judged],
        "seconds": {name: float(np.mean([row["seconds"] for row in done.values()]))
                    for name, done in stored.items() if done},
        "environment": environment(),
    }  # fmt: skip
    write_results(args.results, record, render_table)


def trained_networks(folder: Path, names: list[str]) -> tuple[list[Architecture], list[float]]:
    """Return the random networks that are trained, and the mean accuracy of their seeds."""
    networks, truth = [], []
    for name in names:
        scores = [json.loads((f / RESULT).read_text())["value"]
                  for f in sorted(folder.glob(f"{name}-*")) if (f / RESULT).is_file()]  # fmt: skip
        # What a search chose would make the ranking of random networks look better than it is.
        if name.startswith("random") and scores:
            networks.append(Architecture.load(folder / f"{name}.json"))
            truth.append(float(np.mean(scores)))
    return networks, truth


def settings_of(run: Path) -> tuple[SearchSpace, SearchConfig]:
    """Return space and settings of a search, as its folder stores them."""
    config = RunFolder(run).config()
    return SearchSpace.from_dict(config["space"]), make(SearchConfig, config["search"])


def judge_networks(
    done: dict[str, Any], networks: list[Architecture], library: Library, images: Classification,
    search: SearchConfig, steps: int, save: Any,
) -> None:  # fmt: skip
    """Add top-1 and loss of every network that is not in ``done``."""
    space = library.space
    recalibration, held_out = images.judging(space, search, search.seed)
    config = LibraryConfig.for_side(side(space), batch_size=search.batch_size, tune_steps=steps)
    source = tuned_source(library, config, images, search)
    judge = Judge(source, recalibration, held_out, torch.device("cpu"), images.metric, images.loss)
    for network in networks:
        if network.name in done:
            continue
        begun = time.perf_counter()
        counts, loss = judge.score(network)
        top1 = float(images.metric.value(counts))
        done[network.name] = {"top-1": top1, "loss": loss, "seconds": time.perf_counter() - begun}
        save()


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


if __name__ == "__main__":
    main()
