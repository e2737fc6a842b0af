"""One small tracker for all tests that change nothing of it."""

from __future__ import annotations

import pytest

from pocketeye.tracking import TorchEngine, Tracker
from tests.tracking.trackers import make_tracker


@pytest.fixture(scope="session")
def tracker() -> Tracker[TorchEngine]:
    return make_tracker()
