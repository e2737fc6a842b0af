"""Images of a disc, and a client of the server that stands behind an annotation tool."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from pocketeye.serving.guard import Access, Guard
from pocketeye.web.backends.app import backend_app

HOST = "localhost:8765"
SIZE = (160, 120)
TRUTH = (60, 40, 110, 90)  # of the disc


def disc(shift: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    width, height = size
    y, x = np.mgrid[:height, :width]
    inside = (x - 85 - shift) ** 2 + (y - 65) ** 2 < 25**2
    pixels = np.full((height, width, 3), (60, 110, 70), np.uint8)
    pixels[inside] = (230, 180, 40)
    return pixels


def png(pixels: np.ndarray) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "png")
    return stored.getvalue()


def b64(pixels: np.ndarray) -> str:
    return base64.b64encode(png(pixels)).decode()


def is_disc(mask: np.ndarray, shift: int = 0) -> bool:
    true = disc(shift)[..., 0] == 230
    return float((mask & true).sum() / (mask | true).sum()) > 0.85


def client(backend: Any, tracker: Any, access: Access | None = None, **more: Any) -> TestClient:
    app = backend_app(backend, "nano", tracker, **more)
    guarded = Guard(app, access or Access(hosts=frozenset({HOST})))
    return TestClient(guarded, base_url=f"http://{HOST}")
