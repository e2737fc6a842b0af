"""Small blocks shared by the networks."""

from pocketeye.layers._shuffle import ChannelShuffle as ChannelShuffle
