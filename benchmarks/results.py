"""Write every table of results/ again from its record, and every marked table of the documents.

    python benchmarks/results.py            # or: make results
    python benchmarks/results.py --check    # says which differ from their records; exit 1

Nothing is measured here: a table can be made again anywhere, its record only on the hardware and in the
time that are printed beside it. A document shows a table between ``<!-- table: results/NAME.md -->`` and
``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tables
import tables_tracking

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_QUIET = "a quiet machine"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, and what it takes to measure its record again.

    Attributes:
        name: of ``results/NAME.md`` and ``results/NAME.json``.
        command: that makes the record; results/README.md says what it needs before.
        needs: hardware and time.
    """

    name: str
    render: Callable[[dict[str, Any]], str]
    command: str
    needs: str

    def text(self) -> str:
        """The table as its record says it."""
        path = ROOT / "results" / f"{self.name}.json"
        return self.render(json.loads(path.read_text(encoding="utf-8")))


def _benchmark(name: str) -> str:
    return f"python benchmarks/{name}.py"


TABLES = (
    Table(name="bench-amd-epyc", render=tables.bench, command="make bench", needs=f"{_QUIET}, minutes"),
    Table(name="casvit-224-amd-epyc", render=tables.casvit, command=_benchmark("casvit_latency"),
          needs=_QUIET),
    Table(name="int8-tiny-imagenet-24-amd-epyc", render=tables.int8, command=_benchmark("int8_accuracy"),
          needs=f"{_QUIET}, three runs of backbones-tiny-imagenet-24"),
    Table(name="int8-imagenet-sample-intel-xeon", render=tables.int8,
          command=_benchmark("int8_accuracy"), needs="imagenet-sample, a few minutes"),
    Table(name="backbones-cifar10-amd-epyc", render=tables.backbones, command=_benchmark("backbones"),
          needs=f"{_QUIET}, CIFAR-10, 1.4 hours for 21 trainings"),
    Table(name="backbones-tiny-imagenet-24-amd-epyc", render=tables.backbones,
          command=_benchmark("backbones"),
          needs=f"{_QUIET}, Tiny ImageNet, 2.6 hours for 18 trainings"),
    Table(name="equal-latency-cifar10-amd-epyc", render=tables.equal_latency,
          command=_benchmark("equal_latency"),
          needs=f"{_QUIET}, CIFAR-10, a search, 1 hour for 33 trainings"),
    Table(name="two-targets-amd-epyc", render=tables.two_targets, command=_benchmark("two_targets"),
          needs=f"{_QUIET}, two searches"),
    Table(name="dense", render=tables.dense, command=_benchmark("dense_results"),
          needs="BCCD, CamVid, DSB-2018 and 2 hours for 4 trainings; any machine"),
    Table(name="dense-bench-amd-epyc", render=tables.bench, command="pocketeye bench",
          needs=f"{_QUIET}, the detector of dense"),
    Table(name="dense-bench-instance-intel-xeon", render=tables.bench, command="pocketeye bench",
          needs=f"{_QUIET}, the Mask R-CNN of dense"),
    Table(name="dense-equal-latency-intel-xeon", render=tables.dense_equal_latency,
          command=_benchmark("dense_equal_latency"),
          needs=f"{_QUIET}, CamVid, 90 minutes for a search and two trainings"),
    Table(name="tam-parity", render=tables_tracking.tam_parity, command=_benchmark("tam_parity"),
          needs="DAVIS-2016; any machine"),
    Table(name="tracking-speed-amd-epyc", render=tables_tracking.tracking_speed,
          command=_benchmark("tracking_speed"),
          needs=_QUIET),
    Table(name="tracking-peers-nano-1-intel-xeon", render=tables_tracking.tracking_peers,
          command=_benchmark("tracking_peers"), needs=f"{_QUIET}"),
    Table(name="tracking-peers-nano-2-intel-xeon", render=tables_tracking.tracking_peers,
          command=_benchmark("tracking_peers"), needs=f"{_QUIET}"),
    Table(name="tracking-peers-nano-8-intel-xeon", render=tables_tracking.tracking_peers,
          command=_benchmark("tracking_peers"), needs=f"{_QUIET}"),
    Table(name="tracking-peers-ti-1-intel-xeon", render=tables_tracking.tracking_peers,
          command=_benchmark("tracking_peers"), needs=f"{_QUIET}, yformer/EfficientTAM"),
    Table(name="tracking-peers-ti-2-intel-xeon", render=tables_tracking.tracking_peers,
          command=_benchmark("tracking_peers"), needs=f"{_QUIET}, yformer/EfficientTAM"),
    Table(name="tracking-peers-ti-int8-1-intel-xeon", render=tables_tracking.tracking_peers,
          command=_benchmark("tracking_peers"), needs=f"{_QUIET}, yformer/EfficientTAM"),
    Table(name="tracking-peers-ti-int8-2-intel-xeon", render=tables_tracking.tracking_peers,
          command=_benchmark("tracking_peers"), needs=f"{_QUIET}, yformer/EfficientTAM"),
    Table(name="tracker-trunks-intel-xeon", render=tables_tracking.tracker_trunks,
          command=_benchmark("tracker_trunks"), needs=f"{_QUIET}, 5 minutes"),
    Table(name="browser-tracking-intel-xeon", render=tables_tracking.browser_tracking,
          command=_benchmark("browser_tracking"), needs=f"{_QUIET}, Chromium, two minutes"),
    Table(name="track-throughput-intel-xeon", render=tables_tracking.track_throughput,
          command=_benchmark("track_throughput"), needs=f"{_QUIET}, two cores, 3 minutes"),
    Table(name="tracking-speed-1024-amd-epyc", render=tables_tracking.tracking_speed,
          command=_benchmark("tracking_speed"), needs=_QUIET),
    Table(name="tracking-forms-amd-epyc", render=tables_tracking.tracking_speed,
          command=_benchmark("tracking_speed"),
          needs=_QUIET),
    Table(name="tracking-memory-live-amd-epyc", render=tables_tracking.tracking_memory,
          command=_benchmark("tracking_memory"), needs="10 minutes; any machine"),
    Table(name="tracking-memory-video-amd-epyc", render=tables_tracking.tracking_memory,
          command=_benchmark("tracking_memory"), needs="15 minutes; any machine"),
    Table(name="tracker-ablations", render=tables_tracking.tracker_ablations,
          command=_benchmark("tracker_training"), needs="DAVIS, 10 trainings of 300 steps"),
    Table(name="tracker-nano", render=tables_tracking.tracker_ablations,
          command=_benchmark("tracker_training"), needs="DAVIS; the run of the weights that come along"),
    Table(name="click-iou", render=tables_tracking.click_iou,
          command=_benchmark("click_iou"), needs="masks of photographs; 10 minutes; any machine"),
    Table(name="track-confidence", render=tables_tracking.track_confidence,
          command="python -m benchmarks.track_confidence", needs="DAVIS; 1 minute; any machine"),
)  # fmt: skip


def documents() -> list[Path]:
    """Files that may show tables."""
    return [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "results" / "README.md"]


def filled(text: str, made: dict[str, str]) -> str:
    """A document with its marked tables as they are made; other marked files are read."""

    def block(match: re.Match[str]) -> str:
        source = made.get(match[2]) or (ROOT / match[2]).read_text(encoding="utf-8")
        rows = [line for line in source.splitlines() if line.startswith("|")]
        return match[1] + "\n".join(rows) + "\n\n" + match[3]

    return _BLOCK.sub(block, text)


def everything() -> dict[Path, str]:
    """What every table and document should say."""
    made = {f"results/{table.name}.md": table.text() for table in TABLES}
    texts = {ROOT / name: text for name, text in made.items()}
    for document in documents():
        texts[document] = filled(document.read_text(encoding="utf-8"), made)
    return texts


def stale(texts: dict[Path, str]) -> list[Path]:
    """Files that say something else, or are not there."""
    return [
        path
        for path, text in texts.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if any differs")
    args = parser.parse_args()
    texts = everything()
    changed = stale(texts)
    for path in changed:
        if not args.check:
            path.write_text(texts[path], encoding="utf-8")
        verb = "differs from its record:" if args.check else "wrote"
        print(f"{verb} {path.relative_to(ROOT)}")
    if args.check:
        sys.exit(bool(changed))
    print("\nto measure again (results/README.md has the whole commands):")
    for table in TABLES:
        print(f"  results/{table.name}.json  {table.command}: {table.needs}")


if __name__ == "__main__":
    main()
