"""Search: supernet, objectives, theta, derivation, report (import ``.run`` to run a search)."""

from pocketeye.searching.config import SearchConfig as SearchConfig
from pocketeye.searching.supernet.supernet import SuperNet as SuperNet
from pocketeye.searching.supernet.theta import Theta as Theta
