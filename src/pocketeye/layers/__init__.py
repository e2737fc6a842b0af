"""Small modules and functions shared by the networks."""

from pocketeye.layers._attention import ProjectedAttention as ProjectedAttention
from pocketeye.layers._attention import attention as attention
from pocketeye.layers._attention import merge_heads as merge_heads
from pocketeye.layers._attention import set_fused_attn as set_fused_attn
from pocketeye.layers._attention import split_heads as split_heads
from pocketeye.layers._fold import NormedConv as NormedConv
from pocketeye.layers._fold import affine_of as affine_of
from pocketeye.layers._fold import fold_after as fold_after
from pocketeye.layers._fold import fold_before as fold_before
from pocketeye.layers._mlp import MLP as MLP
from pocketeye.layers._normalise import normalise as normalise
from pocketeye.layers._position import bicubic_matrix as bicubic_matrix
from pocketeye.layers._position import bilinear_matrix as bilinear_matrix
from pocketeye.layers._position import pool_tokens as pool_tokens
from pocketeye.layers._position import rope_tables as rope_tables
from pocketeye.layers._position import rotate as rotate
from pocketeye.layers._position import sine_position as sine_position
from pocketeye.layers._products import Linear as Linear
from pocketeye.layers._products import by_onednn as by_onednn
from pocketeye.layers._products import hidden_layer as hidden_layer
from pocketeye.layers._products import linear as linear
from pocketeye.layers._products import onednn_products as onednn_products
from pocketeye.layers._shuffle import ChannelShuffle as ChannelShuffle
from pocketeye.layers._sync_norm import revert_sync_batchnorm as revert_sync_batchnorm
