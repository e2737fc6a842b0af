"""Ranks under torchrun and srun; two processes that SLURM would have started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pocketeye.devices import is_first_process, rank_and_world, under_srun
from pocketeye.errors import InvalidValue
from pocketeye.training.engine.cluster import trainer_options

SRUN = {
    "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "8", "SLURM_NNODES": "2",
    "SLURM_NTASKS_PER_NODE": "4", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2",
    "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NODELIST": "127.0.0.1",
}  # fmt: skip
BATCH_SCRIPT = {key: value for key, value in SRUN.items() if "STEP" not in key}


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    others = ("RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT")
    for name in list(os.environ):
        if name.startswith("SLURM_") or name in others:
            monkeypatch.delenv(name)


def setenv(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for key, value in values.items():
        monkeypatch.setenv(key, value)


def test_alone() -> None:
    assert (rank_and_world(), is_first_process(), under_srun()) == ((0, 1), True, False)
    assert trainer_options(1) == {"devices": 1}
    assert trainer_options(3)["devices"] == 3


def test_srun(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, SRUN)
    assert (rank_and_world(), is_first_process()) == ((5, 8), False)
    options = trainer_options(1)
    assert (options["devices"], options["num_nodes"]) == (4, 2)
    environment = options["plugins"][0]
    assert (environment.global_rank(), environment.world_size()) == (5, 8)
    assert environment.main_address == "127.0.0.1"
    os.environ.pop("MASTER_ADDR")  # which the environment has set
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert is_first_process()


def test_a_batch_script_without_srun_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, {**BATCH_SCRIPT, "SLURM_PROCID": "0"})
    assert (rank_and_world(), is_first_process()) == ((0, 1), True)
    options = trainer_options(1)
    assert type(options["plugins"][0]).__name__ == "LightningEnvironment"
    setenv(monkeypatch, {**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"})
    assert rank_and_world() == (0, 1), "srun with a single task"


def test_torchrun_within_srun_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, {**SRUN, "RANK": "3", "WORLD_SIZE": "16"})
    assert (rank_and_world(), is_first_process()) == ((3, 16), False)


def test_tasks_without_their_number_per_node(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, SRUN)
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(InvalidValue, match=r"8 tasks on 2 nodes .* --ntasks-per-node"):
        trainer_options(1)


@pytest.mark.slow
def test_two_tasks_of_srun_train_one_network(tmp_path: Path) -> None:
    """Started as srun would, on one machine: several sizes, one run folder."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "epochs: 2\nmulti_scale: [[32, 64], [48, 32]]\naccumulate: 2\nema_decay: 0.9\ndevice: cpu\n"
        "optimizer: adamw\nlr: 0.002\nflip: 0.0\ninput_size: 32\n"
    )
    command = [
        sys.executable, "-m", "pocketeye", "train", "fbnet_96_035_1", "--recipe", str(recipe),
        "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    shape = {"SLURM_NTASKS": "2", "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "2",
             "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1", "SLURM_NODEID": "0",
             "SLURM_JOB_ID": str(os.getpid())}  # fmt: skip
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **SRUN, **shape, "SLURM_PROCID": rank, "SLURM_LOCALID": rank},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in "01"
    ]  # fmt: skip
    printed = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], printed
    assert (tmp_path / "run" / "report.html").is_file()
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3
