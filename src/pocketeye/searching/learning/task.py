"""Search, as a Lightning module: weights and theta in turn (FBNet, section 3.2)."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer

from pocketeye.searching.batches import Loss
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.learning import distributed, schedule
from pocketeye.searching.learning.phases import Phase, PhaseBatch
from pocketeye.searching.objective import TargetObjective
from pocketeye.searching.supernet.supernet import SuperNet
from pocketeye.searching.supernet.theta import Theta, generator, gumbel

logger = logging.getLogger(__name__)


class SearchTask(LightningModule):
    """Train weights on one part of the images and theta on the other, in turn within an epoch.

    =============  ==============================  ========================================
    step           mode ``fast``                   mode ``paper``
    =============  ==============================  ========================================
    weights        CE of one sampled path          whole loss of the Gumbel mixture
                   (uniform in warm-up)
    theta          whole loss of the exact Gumbel mixture; weights frozen; BN by the batch,
                   running statistics untouched
    =============  ==============================  ========================================

    A theta step uses one Gumbel draw for both CE and latency. Draws depend on (seed, epoch, phase,
    step) only, so all processes take the same path and a resumed run the same course.

    Args:
        supernet: trained in place.
        theta: trained in place; knows the latencies.
        config: settings.
        loss: of logits and labels, in nats.
    """

    control_integral: Tensor

    def __init__(
        self, supernet: SuperNet, theta: Theta, config: SearchConfig, loss: Loss = F.cross_entropy
    ) -> None:
        super().__init__()
        self.loss = loss
        # Two optimisers, of which a step uses one.
        self.automatic_optimization = False
        self.supernet, self.theta, self.config = supernet, theta, config
        self.objective = config.build_objective()
        self.control = config.build_control()
        # A buffer, so that a resumed run goes on with it.
        self.register_buffer("control_integral", torch.zeros(()))
        self._phase: Phase | None = None
        self._steps: dict[Phase, int] = {}
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def configure_optimizers(self) -> list[Optimizer]:
        config = self.config
        weights = SGD(
            self.supernet.parameters(),
            lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay,
        )  # fmt: skip
        lr, decay = config.theta_rates
        return [weights, Adam(self.theta.parameters(), lr=lr, weight_decay=decay)]

    def on_fit_start(self) -> None:
        if self.device.type != "mps":  # three to four times faster for depthwise networks on a CPU
            self.supernet.to(memory_format=torch.channels_last)

    def on_train_epoch_start(self) -> None:
        self.supernet.train()
        self._phase, self._steps = None, defaultdict(int)
        self._sums, self._counts = {}, defaultdict(int)
        self.temperature = schedule.temperature(self.config, self.current_epoch)
        self.ramp = schedule.ramp(self.config, self.current_epoch)
        for group in self._optimiser(Phase.WEIGHTS).param_groups:
            group["lr"] = schedule.cosine(self.config.lr, self.current_epoch / self.config.epochs)

    def training_step(self, batch: PhaseBatch, batch_idx: int) -> Tensor:
        """Take one step of either kind; return the detached loss."""
        number, images, labels = batch
        phase = Phase(number)
        self._enter(phase)
        if self.device.type != "mps":
            images = images.contiguous(memory_format=torch.channels_last)
        step = self._weight_step if phase is Phase.WEIGHTS else self._theta_step
        loss = step(images, labels)
        self._steps[phase] += 1
        return loss

    def on_train_epoch_end(self) -> None:
        # Each process saw other images, so the running statistics have drifted apart.
        distributed.broadcast(self.supernet.buffers())
        summary = self._summary()
        self.log_dict(summary)
        if self.trainer.is_global_zero:
            logger.info(
                "epoch %d: %s", self.current_epoch + 1,
                ", ".join(f"{name} {value:.4g}" for name, value in summary.items()),
            )  # fmt: skip
            self._warn_of_collapse(summary)

    def expected_latency_ms(self) -> float:
        """Return the exact mean latency of networks from ``softmax(theta)``, at any temperature."""
        with self._full_precision(), torch.no_grad():
            return float(self.theta.latency(self.theta.probabilities()))

    def pressure(self) -> float:
        """Return what multiplies the latency term now: the ramp, times lambda where it is controlled."""
        if self.control is None:
            return self.ramp
        return self.ramp * self.control.multiplier(float(self.control_integral), self._gap())

    def _weight_step(self, images: Tensor, labels: Tensor) -> Tensor:
        noise = self._noise()
        if self.config.mode == "fast":
            warm = self.current_epoch < self.config.warmup_epochs
            # Uniform in warm-up: every candidate is trained equally before theta may prefer one.
            path = (self.theta.draw_uniform if warm else self.theta.draw)(noise)
            loss = self.loss(self.supernet.forward_path(images, path), labels)
        else:
            loss = self._mixture_loss(images, labels, noise)[0]
        self._update(loss, Phase.WEIGHTS)
        self._count("loss_w", loss)
        return loss.detach()

    def _theta_step(self, images: Tensor, labels: Tensor) -> Tensor:
        noise = self._noise(len(images) if self.config.per_image_gumbel else None)
        # BN by the batch alone: statistics of the images of theta must not enter the weights.
        with self.supernet.batch_statistics_only():
            loss, ce, latency = self._mixture_loss(images, labels, noise)
        self._update(loss, Phase.THETA)
        self._count("loss_theta", loss)
        self._count("ce", ce)
        self._count("relaxed_latency_ms", latency)
        if self.control is not None:
            self.control_integral.fill_(
                self.control.integrate(float(self.control_integral), self._gap())
            )
        return loss.detach()

    def _mixture_loss(
        self, images: Tensor, labels: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return (loss, CE, latency in ms) of one Gumbel draw."""
        # fp32 outside of autocast: milliseconds and small probabilities do not fit half precision.
        with self._full_precision():
            weights = self.theta.mixture(noise, self.temperature)
            latency = self.theta.latency(weights)
        logits = self.supernet.forward_mixture(
            images, weights, checkpointing=self.config.checkpointing
        )
        ce = self.loss(logits, labels)
        with self._full_precision():
            return self.objective(ce.float(), latency, self.pressure()), ce, latency

    def _update(self, loss: Tensor, phase: Phase) -> None:
        optimiser = self._optimiser(phase)
        self.manual_backward(loss)
        parameters = [p for g in optimiser.param_groups for p in g["params"] if p.grad is not None]
        distributed.average_gradients(parameters)
        if phase is Phase.WEIGHTS and self.config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
        optimiser.step()
        # None, not zero: momentum must not move the candidates of other paths.
        optimiser.zero_grad(set_to_none=True)

    def _enter(self, phase: Phase) -> None:
        if phase is not self._phase:
            self._phase = phase
            # Frozen weights need no gradients of their own: that saves a part of each step of theta.
            self.supernet.requires_grad_(phase is Phase.WEIGHTS)
            self.theta.requires_grad_(phase is Phase.THETA)

    def _optimiser(self, phase: Phase) -> Any:
        optimisers: Any = self.optimizers()
        return optimisers[phase.value]

    def _noise(self, num_images: int | None = None) -> Tensor:
        """Draw Gumbel noise (L, C), or (B, L, C) of this process's own images."""
        assert self._phase is not None
        where = (self.config.seed, self.current_epoch, self._phase.value, self._steps[self._phase])
        shape = tuple(self.theta.mask.shape)
        if num_images is None:
            return gumbel(shape, generator(*where)).to(self.device)
        own = generator(*where, self.global_rank)
        return gumbel((num_images, *shape), own).to(self.device)

    def _full_precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, enabled=False)

    def _gap(self) -> float:
        assert isinstance(self.objective, TargetObjective)
        return self.expected_latency_ms() / self.objective.target_ms - 1

    def _count(self, name: str, value: Tensor) -> None:
        # Summed on the device: reading each value would make an accelerator wait.
        value = value.detach().float()
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._counts[name] += 1

    def _summary(self) -> dict[str, float]:
        """Return the numbers of this epoch (see docs/searching.md for each)."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        row = {name: float(value) for name, value in distributed.average(means).items()}
        expected, (nats, fraction) = self.expected_latency_ms(), self.theta.entropy()
        pressure = self.pressure()
        row |= {
            "latency_ms": expected,
            "argmax_latency_ms": self.theta.latency_of(self.theta.argmax()),
            "entropy_nats": nats,
            "entropy_fraction": fraction,
            "temperature": self.temperature,
            "pressure": self.ramp,
            "lr_w": float(self._optimiser(Phase.WEIGHTS).param_groups[0]["lr"]),
        }
        if self.control is not None:
            row["lambda"] = pressure
        if "ce" in row:
            row["elasticity"] = self.objective.elasticity(expected, row["ce"], pressure)
        return row

    def _warn_of_collapse(self, row: dict[str, float]) -> None:
        # A warning and no error: a small space may be settled early and rightly.
        done = (self.current_epoch + 1) / self.config.epochs
        if done < 0.6 and row["entropy_fraction"] < 0.05:
            logger.warning(
                "theta has all but settled (entropy %.1f %% of its maximum) after %.0f %% of the "
                "epochs: lower theta_lr or raise ramp_epochs", 100 * row["entropy_fraction"],
                100 * done,
            )  # fmt: skip
        positions, ops = self.supernet.space.positions, self.supernet.space.ops
        open_ = [number for number, p in enumerate(positions) if "skip" in p.candidates]
        if not open_:
            return
        # An argmax means little while theta is flat.
        chance = self.theta.probabilities().detach()[open_, ops.index("skip")]
        skipped = int((chance > 0.5).sum())
        if len(open_) >= 4 and skipped > 0.8 * len(open_):
            logger.warning(
                "theta has settled on a skip at %d of the %d layers that may have one: warm up "
                "longer or raise the target", skipped, len(open_),
            )  # fmt: skip
