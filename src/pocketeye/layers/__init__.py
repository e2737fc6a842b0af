"""Small modules and functions shared by the networks."""

from pocketeye.layers._fold import affine_of as affine_of
from pocketeye.layers._fold import fold_after as fold_after
from pocketeye.layers._fold import fold_before as fold_before
from pocketeye.layers._shuffle import ChannelShuffle as ChannelShuffle
