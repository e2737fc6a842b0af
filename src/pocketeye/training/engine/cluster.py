"""Tell which of several processes this is: started by torchrun, by SLURM's srun, or by ourselves."""

from __future__ import annotations

import os
from typing import Any

from pocketeye.devices import under_srun, under_torchrun
from pocketeye.errors import InvalidValue


def trainer_options(num_processes: int, all_used: bool = True) -> dict[str, Any]:
    """Return strategy and counts for Lightning: of torchrun or srun, else of processes spawned here.

    Args:
        all_used: every parameter has a gradient in every step, see
            :func:`pocketeye.training.engine.loop.make_trainer`.

    Raises:
        InvalidValue: an allocation of SLURM that does not say its tasks per node.
    """
    # heavy, and of no use to who only asks for the rank
    from lightning.pytorch.plugins.environments import LightningEnvironment

    from pocketeye.training.engine.callbacks import QuietDDP

    # Looking for unused parameters costs time in every step: only where there are some.
    ddp: dict[str, Any] = {} if all_used else {"find_unused_parameters": True}
    if under_torchrun():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // local
        return {"strategy": QuietDDP(**ddp), "devices": local, "num_nodes": nodes}
    if under_srun():
        return _slurm_options(ddp)
    # in a batch script of SLURM without srun Lightning would wait for the other tasks
    alone: dict[str, Any] = (
        {"plugins": [LightningEnvironment()]} if "SLURM_NTASKS" in os.environ else {}
    )
    if num_processes == 1:
        return {"devices": 1, **alone}
    return {"strategy": QuietDDP(start_method="spawn", **ddp), "devices": num_processes, **alone}


def _slurm_options(ddp: dict[str, Any]) -> dict[str, Any]:
    from lightning.pytorch.plugins.environments import SLURMEnvironment

    from pocketeye.training.engine.callbacks import QuietDDP

    # Of this step of srun; SLURM_NTASKS is that of the whole allocation.
    tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
    nodes = int(os.environ.get("SLURM_STEP_NUM_NODES") or os.environ.get("SLURM_NNODES", "1"))
    if "SLURM_NTASKS_PER_NODE" not in os.environ or tasks % nodes:
        raise InvalidValue(
            f"srun started {tasks} tasks on {nodes} nodes without saying how many on each: give "
            "sbatch --nodes and --ntasks-per-node, one task per GPU, and no --ntasks"
        )
    return {
        "strategy": QuietDDP(**ddp),
        "devices": tasks // nodes,
        "num_nodes": nodes,
        # Lightning would submit the job again by itself: whoever wants that says so to SLURM.
        "plugins": [SLURMEnvironment(auto_requeue=False)],
    }
