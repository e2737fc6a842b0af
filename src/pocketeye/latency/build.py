"""Build a latency table: every distinct block and some whole networks, timed side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pocketeye import progress, provenance, runs
from pocketeye.errors import InvalidValue, UserError
from pocketeye.latency.calibration import MIN_NETS, calibrate
from pocketeye.latency.device import Device
from pocketeye.latency.graphs import Bench, graph_key
from pocketeye.latency.protocol import (
    Call,
    Measured,
    Protocol,
    Samples,
    measure_interleaved,
)
from pocketeye.latency.record import choose_clock
from pocketeye.latency.sampling import spread
from pocketeye.latency.table import LatencyTable, Row, Segmenter, TableHeader
from pocketeye.models.architecture import Architecture, PlacedBlock
from pocketeye.models.dense.pixel_head import SegmenterSpec, require_segmenters
from pocketeye.models.space import SearchSpace
from pocketeye.outputs import held, scratch_folder
from pocketeye.reading import Kind, reading
from pocketeye.runtimes.base import Precision, Runtime

PARTIAL_SCHEMA = "pocketeye.latency-partial/2"
# Names of subjects that are no block; the anchor is the network with this number.
_EMPTY, _HEAD, _ANCHOR = "call", "neck and head", 0


def build_table(
    space: SearchSpace,
    *,
    runtime: Runtime,
    out: Path,
    threads: int = 1,
    precision: Precision = "fp32",
    protocol: Protocol | None = None,
    calibration_nets: int = 16,
    segmenter: SegmenterSpec | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> LatencyTable:
    """Measure every block of ``space`` and calibrate on whole networks; writes ``out``.

    What was measured is kept after every round in ``out`` + ``.partial``; the same call continues
    there.

    Args:
        segmenter: whole networks are segmenters with this pyramid and head.

    Raises:
        InvalidValue: ``out`` is there already (and not ``overwrite``), its partial file was begun
            with other settings, or the space lacks maps that a segmenter needs.
        UserError: interrupted by Ctrl-C (the sentence says how to continue).
    """
    protocol = protocol or Protocol.of(runtime)
    _check_request(protocol, calibration_nets, out, overwrite)
    if segmenter is not None:
        require_segmenters(space)
    # From cheap to dear: a fit over networks of one latency would be a guess elsewhere.
    nets = spread(space, calibration_nets, seed, "calibration")
    with held(out):
        partial = _Partial(
            out,
            {
                "space": space.to_dict(),
                "device": str(Device.of(runtime)),
                "runtime": runtime.name,
                "runtime_version": runtime.version(),
                "flags": runtime.flags(),
                "threads": threads,
                "precision": precision,
                "protocol": protocol.to_dict(),
                "calibration_nets": len(nets),
                "segmenter": asdict(segmenter) if segmenter else None,
                "seed": seed,
            },
        )
        # A segmenter has no head for labels: pyramid and head, timed as one, stand in its place.
        blocks = _distinct(space, with_head=segmenter is None)
        try:
            measured = _measure_all(space, blocks, nets, runtime, partial, protocol, segmenter)
        except KeyboardInterrupt as interrupt:
            raise UserError(
                f"measuring was interrupted after round {partial.samples.rounds} of {protocol.rounds}; "
                f"nothing is lost: the same command continues from {partial.path}"
            ) from interrupt
        table = _assemble(
            space,
            blocks,
            nets,
            measured,
            partial.settings,
            partial.samples.rounds,
            segmenter,
            runtime,
        )
        # The table first: a crash in between leaves both files, and nothing is lost.
        table.save(out)
        partial.path.unlink(missing_ok=True)
        return table


def _check_request(protocol: Protocol, calibration_nets: int, out: Path, overwrite: bool) -> None:
    if protocol.rounds < 2:
        # A single visit has no second half to disagree with and would look free of noise.
        raise InvalidValue(f"a table needs at least 2 rounds, got {protocol.rounds}")
    if calibration_nets < MIN_NETS:
        raise InvalidValue(f"calibration_nets must be at least {MIN_NETS}, got {calibration_nets}")
    if out.exists() and not overwrite:
        raise InvalidValue(
            f"{out} is already there: give --overwrite to measure it again, or another --out"
        )
    if out.is_dir():
        raise InvalidValue(f"{out} is a folder, and a table is a file: name another --out")
    if not out.parent.is_dir():
        raise InvalidValue(f"cannot write {out}: there is no folder {out.parent}")


def _measure_all(
    space: SearchSpace,
    blocks: dict[str, list[PlacedBlock]],
    nets: Sequence[Architecture],
    runtime: Runtime,
    partial: _Partial,
    protocol: Protocol,
    segmenter: SegmenterSpec | None,
) -> dict[str, Measured]:
    """Export and time blocks and networks, from where ``partial`` was left."""
    settings = partial.settings
    threads = settings["threads"]
    with scratch_folder() as folder:
        bench = Bench(folder, runtime, threads, settings["precision"], segmenter)
        calls = _open_all(bench, blocks, nets)
        if segmenter is not None:
            calls[_HEAD] = bench.neck_and_head(space)
        return measure_interleaved(
            calls,
            protocol,
            # A whole network: it is slow where memory, caches or clock are, as any subject may be.
            anchor=calls[_net_name(_ANCHOR)],
            threads=threads,
            seed=settings["seed"],
            samples=partial.samples,
            # Rounds take minutes: what was measured is worth more than a file a round costs.
            on_round=partial.save,
            description=f"measuring {len(blocks)} blocks and {len(nets)} networks",
        )


def measure_networks(
    architectures: Sequence[Architecture],
    *,
    runtime: Runtime,
    threads: int,
    precision: Precision,
    protocol: Protocol | None = None,
    segmenter: SegmenterSpec | None = None,
    seed: int = 0,
) -> list[Measured]:
    """Measure whole networks, or segmenters on them, and keep all that is known of each."""
    with scratch_folder() as folder:
        bench = Bench(folder, runtime, threads, precision, segmenter)
        calls = {_net_name(i): bench.network(a) for i, a in enumerate(architectures)}
        measured = measure_interleaved(
            calls,
            protocol,
            threads=threads,
            seed=seed,
            description=f"measuring {len(calls)} networks",
        )
    return list(measured.values())


def _distinct(space: SearchSpace, with_head: bool) -> dict[str, list[PlacedBlock]]:
    """Group blocks by graph: equal graphs are timed once, skips never."""
    groups: dict[str, list[PlacedBlock]] = {}
    for placed in space.placed(with_head):
        if key := graph_key(placed):
            groups.setdefault(key, []).append(placed)
    return {str(group[0]): group for group in groups.values()}


def _net_name(index: int) -> str:
    return f"net{index}"


def _open_all(
    bench: Bench, blocks: dict[str, list[PlacedBlock]], nets: Sequence[Architecture]
) -> dict[str, Call]:
    calls = {_EMPTY: bench.empty()}
    verified = set()
    with progress.task("exporting", len(blocks) + len(nets)) as task:
        for name, (placed, *_) in blocks.items():
            # Once for each op: another width is the same graph with other numbers.
            if placed.spec.op not in verified:
                bench.verify(placed)
                verified.add(placed.spec.op)
            calls[name] = bench.block(placed)
            task.advance()
        for index, net in enumerate(nets):
            calls[_net_name(index)] = bench.network(net)
            task.advance()
    return calls


def _assemble(
    space: SearchSpace,
    blocks: dict[str, list[PlacedBlock]],
    nets: Sequence[Architecture],
    measured: dict[str, Measured],
    settings: dict[str, Any],
    rounds: int,
    segmenter: SegmenterSpec | None,
    runtime: Runtime,
) -> LatencyTable:
    # Each block was timed in a call of its own; a network pays for one call only.
    overhead = measured[_EMPTY].timing.latency_ms

    def alone(name: str) -> float:
        # Not below a nanosecond: the cheapest block may be as fast as an empty call, and is divided by.
        return max(measured[name].timing.latency_ms - overhead, 1e-6)

    raw = {graph_key(group[0]): alone(name) for name, group in blocks.items()}
    chains = [[key for p in net.placed() if (key := graph_key(p))] for net in nets]
    if segmenter is not None:
        raw[_HEAD] = alone(_HEAD)
        # The last entry of a chain is the head for labels, which a segmenter does not have.
        chains = [[*chain[:-1], _HEAD] for chain in chains]
    calibration = calibrate(
        [sum(raw[key] for key in chain) for chain in chains],
        [len(chain) for chain in chains],
        [measured[_net_name(i)].timing.latency_ms for i in range(len(nets))],
        overhead_ms=overhead,
        smallest_ms=min(raw.values()),
        networks=[str(net) for net in nets],
    )
    header = TableHeader(
        space=space.to_dict(),
        device=Device.of(runtime),
        runtime=settings["runtime"],
        runtime_version=settings["runtime_version"],
        flags=settings["flags"],
        layout="NCHW",
        threads=settings["threads"],
        precision=settings["precision"],
        clock=choose_clock(settings["threads"], runtime.remote),
        protocol=settings["protocol"],
        overhead_ms=overhead,
        rounds=rounds,
        seed=settings["seed"],
        date=provenance.now(),
        git=provenance.git_hash(),
    )
    rows = {str(placed): _row(measured[name]) for name, group in blocks.items() for placed in group}
    head = Segmenter(spec=segmenter, row=_row(measured[_HEAD])) if segmenter else None
    return LatencyTable(header=header, rows=rows, calibration=calibration, segmenter=head)


def _row(measured: Measured) -> Row:
    return Row(timing=measured.timing, halves_ms=measured.halves_ms, dropped=measured.dropped)


class _Partial:
    """Keep the file of an unfinished build: its settings and the samples so far."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.path = out.with_name(out.name + ".partial")
        # Through JSON, so that tuples compare equal to the lists of a file.
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.samples = self._load() if self.path.is_file() else Samples()

    def save(self, samples: Samples) -> None:
        data = {
            "schema": PARTIAL_SCHEMA,
            "settings": self.settings,
            "samples": samples.to_dict(),
        }
        runs.write_atomic(self.path, json.dumps(data) + "\n")

    def _load(self) -> Samples:
        remove = f"delete {self.path} to start again"
        data = Kind(what="a partial latency table", schema=PARTIAL_SCHEMA, remedy=remove).read(
            self.path
        )
        stored = data.get("settings")
        if not isinstance(stored, dict):
            raise InvalidValue(f"{self.path} is damaged: {remove}")
        # Samples taken otherwise would be mixed silently.
        changed = [key for key in self.settings if stored.get(key) != self.settings[key]]
        if changed:
            raise InvalidValue(
                f"{self.path} was begun with another {', '.join(changed)}: use the settings it was "
                f"begun with, choose another --out, or {remove}"
            )
        with reading(self.path, "a partial latency table", remove):
            return Samples.from_dict(data.get("samples"))
