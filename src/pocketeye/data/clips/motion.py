"""Smooth random motion of a camera and of objects, as maps over time.

Lengths are in half heights of the view, which then reaches from -1 to 1 downwards and from -aspect to
aspect across. Times are in frames of a clip that runs at common speed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketeye.data.clips.warp import chain, inverse


def drift(rng: np.random.Generator, times: np.ndarray, speed: float) -> np.ndarray:
    """Draw positions ``(T,)``: a velocity, an acceleration and a swing, in the order of ``speed``."""
    span = max(float(times[-1] - times[0]), 1.0)
    velocity, force, swing = rng.normal(size=3) * speed
    period, phase = rng.uniform(0.7, 2.5) * span, rng.uniform(0, 2 * np.pi)
    middle = times - times.mean()
    wave = np.sin(2 * np.pi * times / period + phase)
    return velocity * middle + force * middle**2 / span + swing * period / 6 * wave


def rotations(angles: np.ndarray) -> np.ndarray:
    """Return rotations as matrices ``(T, 2, 2)``."""
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)


def maps(linear: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Join ``(T, 2, 2)`` and ``(T, 2)`` into maps ``(T, 2, 3)``."""
    return np.concatenate([linear, shift[..., None]], 2)


@dataclass(frozen=True)
class Camera:
    """Map points of the output to the scene, in half heights of the scene: ``(T, 2, 3)``."""

    to_scene: np.ndarray
    aspect: float

    @classmethod
    def random(cls, rng: np.random.Generator, times: np.ndarray, aspect: float) -> Camera:
        """It zooms, pans and turns, or stands still; the view seldom leaves the scene by much."""
        speed = 0.0 if rng.random() < 0.15 else float(np.exp(rng.normal(np.log(0.012), 0.9)))
        zoom = rng.uniform(1.05, 1.7) * np.exp(drift(rng, times, 0.4 * speed))
        zoom = np.clip(zoom, 1.0, 2.5)
        angle = rng.normal(0, 0.06) + drift(rng, times, 0.35 * speed)
        # How far the view can move before it leaves the scene.
        room = (1.0 - 1.0 / zoom)[:, None] * (aspect, 1.0)
        wish = np.stack([drift(rng, times, speed * aspect), drift(rng, times, 0.6 * speed)], 1)
        wish += rng.uniform(-1, 1, 2) * room.mean(0)
        # tanh bounds the wish without a jump where the bound is met.
        centre = np.tanh(wish / np.maximum(room, 1e-3)) * room
        linear = rotations(angle) @ np.diag([aspect, 1.0]) / zoom[:, None, None]
        return cls(maps(linear, centre), aspect)

    @classmethod
    def resting(cls, num_frames: int, aspect: float) -> Camera:
        """It shows the whole scene in every frame."""
        linear = np.diag([aspect, 1.0])[None].repeat(num_frames, 0)
        return cls(maps(linear, np.zeros((num_frames, 2))), aspect)

    def to_image(self) -> np.ndarray:
        """Map points of the output to normalised points of the scene's image."""
        return np.diag([1.0 / self.aspect, 1.0]) @ self.to_scene

    def still(self) -> np.ndarray:
        """Return the view of an object that does not move with the scene: half heights of the view."""
        linear = np.diag([self.aspect, 1.0])[None].repeat(len(self.to_scene), 0)
        return maps(linear, np.zeros((len(linear), 2)))


def object_path(
    rng: np.random.Generator,
    times: np.ndarray,
    aspect: float,
    near: np.ndarray | None,
    pace: float = 1.0,
) -> np.ndarray:
    """Draw the way of an object's middle: ``(T, 2)``, inside the view at some time.

    Args:
        near: a path that it meets at that time, to pass before or behind it; None for none.
        pace: times the common speed.
    """
    speed = pace * float(np.exp(rng.normal(np.log(0.03), 0.9)))
    # At this moment it is inside the view.
    moment = int(rng.integers(len(times)))
    place = rng.uniform(-0.8, 0.8, 2) * (aspect, 1.0)
    if near is not None:
        place = near[moment] + rng.normal(0, 0.15, 2)
    way = np.stack([drift(rng, times, speed * aspect), drift(rng, times, 0.6 * speed)], 1)
    path = way - way[moment] + place
    if rng.random() < 0.25:
        path += _leave(rng, times, aspect, moment)
    return path


def _leave(rng: np.random.Generator, times: np.ndarray, aspect: float, moment: int) -> np.ndarray:
    """Draw ``(T, 2)``: a way out of the view and back, or not back; zero at ``moment``."""
    count = len(times)
    length = int(rng.integers(max(3, count * 2 // 3), 2 * count + 1))
    # It leaves after that moment, or was away before it.
    start = moment + 1 if rng.random() < 0.5 else moment - length
    phase = np.clip((np.arange(count) - start) / length, 0.0, 1.0)
    away = np.sin(np.pi * phase) ** 2
    angle = rng.uniform(0, 2 * np.pi)
    far = 2.0 * np.array([np.cos(angle) * aspect, np.sin(angle)])
    return np.asarray(away[:, None] * far)


def screen_maps(rng: np.random.Generator, path: np.ndarray, reach: float) -> np.ndarray:
    """Map points of something large to the view, ``(T, 2, 3)``: it passes before an object.

    Args:
        path: of the object, ``(T, 2)``; it is hidden at one time at least, which is not the first.
        reach: the radius of the object's outer circle, in half heights of the view.
    """
    count = len(path)
    wide = reach * rng.uniform(1.05, 1.6)
    long = max(wide, reach * float(np.exp(rng.uniform(0.1, 1.5))))
    angle = rng.uniform(0, 2 * np.pi)
    across = np.array([np.cos(angle), np.sin(angle)])
    # it is before the object for a few frames, and away from it at once or many frames later
    moment = int(rng.integers(1, max(count, 2)))
    held = rng.uniform(0.0, count / 3)
    step = (wide + reach) * np.exp(rng.uniform(np.log(0.1), np.log(1.5)))
    late = np.arange(count) - moment
    away = np.sign(late) * np.maximum(np.abs(late) - held / 2, 0.0) * step
    if rng.random() < 0.3:  # it turns back the way it came
        away = np.abs(away)
    linear = rotations(np.full(count, angle)) @ np.diag([wide, long])
    return maps(linear, path + away[:, None] * across)


def object_maps(
    rng: np.random.Generator, times: np.ndarray, path: np.ndarray, aspect: float, size: float
) -> np.ndarray:
    """Map normalised points of a cut-out to the view: ``(T, 2, 3)``; it turns, grows and tilts.

    Args:
        path: ``(T, 2)``.
        aspect: width over height of the cut-out.
        size: its half height in half heights of the view.
    """
    lively = float(np.exp(rng.normal(np.log(0.02), 0.8)))
    angle = rng.normal(0, 0.25) + drift(rng, times, lively)
    scale = size * np.exp(np.clip(drift(rng, times, 0.8 * lively), -0.9, 0.9))
    tilt = np.exp(np.clip(rng.normal(0, 0.07) + drift(rng, times, 0.5 * lively), -0.5, 0.5))
    shape = np.zeros((len(times), 2, 2))
    shape[:, 0, 0] = scale * tilt * aspect * (1.0 if rng.random() < 0.5 else -1.0)
    shape[:, 1, 1] = scale / tilt
    return maps(rotations(angle) @ shape, path)


def deformation(rng: np.random.Generator, times: np.ndarray, grid: int = 4) -> np.ndarray | None:
    """Draw shifts at a coarse grid over an object, ``(T, 2, grid, grid)``; None for a rigid one."""
    if rng.random() < 0.4:
        return None
    amount = abs(rng.normal(0, 0.07))
    span = max(float(times[-1] - times[0]), 1.0)
    shifts = np.zeros((len(times), 2, grid, grid))
    # Two waves of different periods, so that a shape seldom repeats.
    for _ in range(2):
        wave = np.sin(2 * np.pi * times / (rng.uniform(0.6, 2.0) * span) + rng.uniform(0, 6.28))
        shifts += wave[:, None, None, None] * rng.normal(0, amount, (2, grid, grid))
    return shifts


def view_to_object(view: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Map points of the output to normalised points of the cut-out, ``(T, 2, 3)``."""
    return chain(view, inverse(forward))
