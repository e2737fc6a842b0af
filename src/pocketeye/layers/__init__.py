"""Small modules and functions shared by the networks."""

from pocketeye.layers._attention import (
    ProjectedAttention as ProjectedAttention,
    attention as attention,
    merge_heads as merge_heads,
    set_fused_attn as set_fused_attn,
    split_heads as split_heads,
)
from pocketeye.layers._fold import (
    NormedConv as NormedConv,
    affine_of as affine_of,
    fold_after as fold_after,
    fold_before as fold_before,
)
from pocketeye.layers._mlp import MLP as MLP
from pocketeye.layers._normalise import normalise as normalise
from pocketeye.layers._position import (
    bicubic_matrix as bicubic_matrix,
    bilinear_matrix as bilinear_matrix,
    pool_tokens as pool_tokens,
    rope_tables as rope_tables,
    rotate as rotate,
    sine_position as sine_position,
)
from pocketeye.layers._products import (
    Linear as Linear,
    by_onednn as by_onednn,
    hidden_layer as hidden_layer,
    linear as linear,
    onednn_products as onednn_products,
)
from pocketeye.layers._shuffle import ChannelShuffle as ChannelShuffle
from pocketeye.layers._sync_norm import revert_sync_batchnorm as revert_sync_batchnorm
