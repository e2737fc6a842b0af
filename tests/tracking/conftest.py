"""One small tracker for all tests that change nothing of it."""

from __future__ import annotations

import pytest

from pocketeye.tracking import Tracker
from tests.tracking.trackers import make_tracker


@pytest.fixture(scope="session")
def tracker() -> Tracker:
    return make_tracker()
