"""Run the loop every task shares: a quiet Lightning trainer over a run folder that can be continued.

Interrupted and continued equals uninterrupted, bit for bit on a CPU: the checkpoint is taken at the
end of every epoch, all random generators are seeded again from (seed, epoch, rank) when an epoch
starts, and the loaders of :mod:`pocketeye.data.loaders.images` draw from (seed, epoch, sample).
"""

from __future__ import annotations

import logging
import re
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from pocketeye.devices import DEVICES, Device, resolve_device, started_by_cluster
from pocketeye.errors import InvalidValue, UserError, unknown
from pocketeye.runs import CHECKPOINT, RunFolder
from pocketeye.training.engine.callbacks import LOGGERS, FiniteLoss, Progress, hush
from pocketeye.training.engine.checkpoint import (
    WholeCheckpoint,
    read_checkpoint,
    require_structure,
)
from pocketeye.training.engine.cluster import trainer_options
from pocketeye.training.engine.recipe import TrainPrecision
from pocketeye.training.engine.saving import EpochEnd
from pocketeye.training.engine.seeding import Reseed
from pocketeye.training.engine.sync_bn import TimmSyncBatchNorm

_PRECISIONS: dict[TrainPrecision, Any] = {
    "fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed",
}  # fmt: skip
# What gloo, NCCL and the store of addresses say of a process that is gone.
_LOST = re.compile(r"[Cc]onnection (closed|reset|refused)|Broken pipe|remote process exited|NCCL")


def make_trainer(
    run: RunFolder,
    *,
    max_epochs: int,
    seed: int,
    device: Device = "auto",
    num_processes: int = 1,
    precision: TrainPrecision = "fp32",
    sync_bn: bool = False,
    description: str = "training",
    callbacks: Sequence[Callback] = (),
    all_used: bool = True,
    **options: Any,
) -> Trainer:
    """Make a Lightning trainer that writes into ``run`` and nowhere else.

    At the start of every epoch ``random``, numpy and torch are seeded from (seed, epoch, rank). At
    its end, after validation and the module's own hook, the numbers logged with ``self.log`` become
    a row of ``metrics.csv`` (with ``epoch`` and ``seconds``) and ``last.ckpt`` is replaced
    atomically. A loss that is not finite stops the training. Loaders divide the data over processes
    themselves (:func:`pocketeye.data.loaders.images.make_loader` does).

    Args:
        run: where everything goes.
        max_epochs: epochs in all, those before a resume included.
        seed: seed of the run.
        device: ``auto`` takes CUDA, then MPS, then the CPU.
        num_processes: processes on this machine (DDP; gloo on a CPU). Under torchrun and srun their
            own numbers count instead.
        precision: ``bf16`` and ``fp16`` are mixed precision, ``fp16`` with a gradient scaler.
        sync_bn: BN statistics over all processes.
        description: text of the progress bar.
        callbacks: further Lightning callbacks.
        all_used: every parameter has a gradient in every step, so that DDP need not look for those
            without.
        options: further arguments of ``lightning.Trainer``; a ``strategy`` replaces ours.

    Raises:
        InvalidValue: an unknown or absent device, one that the precision is not for, or fewer than
            one epoch or process.
    """
    if max_epochs < 1 or num_processes < 1:
        raise InvalidValue(
            f"epochs and processes must be at least 1, got {max_epochs} and {num_processes}"
        )
    check_device(device, precision=precision, sync_bn=sync_bn, num_processes=num_processes)
    # torchrun and srun say themselves how many processes there are.
    environment = trainer_options(num_processes, all_used)
    plugins = [*environment.pop("plugins", ()), WholeCheckpoint(run)]
    if sync_bn:
        plugins.append(TimmSyncBatchNorm())
    with quiet():
        return Trainer(
            accelerator="gpu" if device == "cuda" else device,
            max_epochs=max_epochs,
            precision=_PRECISIONS[precision],
            callbacks=[
                Reseed(seed),
                FiniteLoss(),
                *callbacks,
                Progress(description),
                EpochEnd(run),
            ],
            # Metrics, bars and summaries are ours: Lightning would write its own beside them.
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,  # a validation before the first step would only cost time
            use_distributed_sampler=False,  # our loaders divide the data themselves
            sync_batchnorm=sync_bn,
            default_root_dir=str(run.path),
            plugins=plugins,
            **{**environment, **options},
        )


_ONE_VALUE = "more than 1 value per channel"  # how torch says that a variance is of one number


def check_device(
    device: str,
    *,
    precision: TrainPrecision = "fp32",
    sync_bn: bool = False,
    num_processes: int = 1,
) -> None:
    """Refuse a device that is misspelt or not there, or that cannot do what is asked of it.

    ``num_processes`` are those to be started from here, each on a GPU of its own.

    Raises:
        InvalidValue: see above.
    """
    if precision not in _PRECISIONS:
        raise unknown("precision", precision, _PRECISIONS)
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    actual = resolve_device(device).type
    if precision == "fp16" and actual != "cuda":
        raise InvalidValue(
            f"precision fp16 needs a CUDA device, --device {device} is none here: use bf16 or fp32"
        )
    if sync_bn and actual != "cuda":
        raise InvalidValue(
            f"sync_bn needs CUDA devices, --device {device} is none here: leave it out, BN then sees "
            "the images of its own process"
        )
    # Fewer GPUs would make processes share one, or fail in the middle.
    if actual == "cuda" and not started_by_cluster() and num_processes > torch.cuda.device_count():
        raise InvalidValue(
            f"{num_processes} processes need a GPU each, this machine has {torch.cuda.device_count()}: "
            "give --num-processes (the batch shrinks with them: make up for it with accumulate)"
        )


def fit_resumable(
    trainer: Trainer,
    module: LightningModule,
    data: LightningDataModule | tuple[Any, Any],
    run: RunFolder,
    resume: bool = False,
) -> None:
    """Train to ``max_epochs``, from ``last.ckpt`` where ``resume`` is set and there is one.

    Args:
        trainer: from :func:`make_trainer`, with the same ``run``.
        module: its state at the end of training is also here in this process.
        data: a data module, or (train loader, validation loader or None).
        run: the run folder.
        resume: continue; without a checkpoint (interrupted in the first epoch) start afresh.

    Raises:
        UserError: Ctrl-C, a full disk, a damaged checkpoint or a loss that is not finite; the
            sentence says what is saved and how to go on.
    """
    checkpoint = run / CHECKPOINT
    arguments: dict[str, Any] = {"ckpt_path": None}
    if resume and checkpoint.is_file():
        # Read before Lightning starts: its errors for a damaged file say little.
        require_structure(checkpoint, read_checkpoint(checkpoint, run), module)
        arguments = {"ckpt_path": str(checkpoint), "weights_only": True}
    if isinstance(data, LightningDataModule):
        arguments["datamodule"] = data
    else:
        arguments["train_dataloaders"], arguments["val_dataloaders"] = data
    with quiet(), _interrupts(trainer, run):
        try:
            trainer.fit(module, **arguments)
        except ValueError as error:
            if _ONE_VALUE not in str(error):
                raise
            raise _one_value() from error
        except ProcessRaisedException as error:
            # a spawned process cannot hand over its exception, only its traceback as text
            # The last one: a chain of causes ends with what a person should read.
            raised = re.findall(r"^pocketeye\.errors\.\w+: (.+)$", str(error), re.MULTILINE)
            if raised:
                raise InvalidValue(raised[-1]) from None
            if _ONE_VALUE in str(error):
                raise _one_value() from None
            if not _LOST.search(str(error)):
                raise
            raise _process_lost(run, trainer.max_epochs, "lost its connection") from None
        except ProcessExitedException as error:
            how = error.signal_name or f"exit code {error.exit_code}"
            raise _process_lost(run, trainer.max_epochs, f"ended by itself ({how})") from None
        except RuntimeError as error:
            # of torchrun's processes each sees only that another one is gone
            if trainer.world_size == 1 or not _LOST.search(str(error)):
                raise
            raise _process_lost(run, trainer.max_epochs, "lost its connection") from None


def _one_value() -> InvalidValue:
    """Return the error for a batch of which a layer of BN could learn nothing."""
    return InvalidValue(
        "a layer of BN gets one value per channel, of which it can learn nothing: one image in a batch, "
        "and a map of 1x1 pixels there; give --batch-size 2 or more, or a larger --input-size"
    )


def _process_lost(run: RunFolder, epochs: int | None, how: str) -> UserError:
    """Return the error for one of several processes that is gone, with which all of them end."""
    return UserError(
        f"one of the processes {how}, so all are ended (was it killed, or out of memory?); "
        f"{_saved(run, epochs)} in {run.path}: repeat the command with --resume to go on"
    )


def _saved(run: RunFolder, epochs: int | None) -> str:
    """Say what a run could go on from."""
    if not (run / CHECKPOINT).is_file():
        return "nothing is saved yet"
    done = [int(row["epoch"]) for row in run.metrics() if "epoch" in row]
    return f"epoch {max(done, default=0) + 1} of {epochs} is saved"


@contextmanager
def _interrupts(trainer: Trainer, run: RunFolder) -> Iterator[None]:
    """Turn Lightning's exit on Ctrl-C into a sentence, and give Ctrl-C back to the caller."""
    handler = None
    # Signals belong to the main thread; elsewhere there is no handler to save.
    with suppress(ValueError):  # not in the main thread
        handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        # Not Lightning's: somebody else wants the process to end.
        if not trainer.interrupted:
            raise
        raise UserError(
            f"interrupted; {_saved(run, trainer.max_epochs)} in {run.path}: repeat the command with "
            "--resume to go on"
        ) from None
    finally:
        # Lightning installs a handler of its own and forgets the caller's.
        if handler is not None:
            with suppress(ValueError):
                signal.signal(signal.SIGINT, handler)


@contextmanager
def quiet() -> Iterator[None]:
    """Run Lightning inside the block without its banners, tips and advice."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            hush()
            yield
    finally:
        # Only what was changed: the caller's own levels come back.
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
