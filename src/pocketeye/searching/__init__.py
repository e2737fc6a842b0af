"""Searching: supernet, objectives, theta, derivation, report (import ``.run`` to run a search)."""

from pocketeye.searching.config import SearchConfig as SearchConfig
from pocketeye.searching.supernet import SuperNet as SuperNet
from pocketeye.searching.theta import Theta as Theta
