"""Segment anything in an image, and track it through a video: EfficientTAM (arXiv 2411.18933).

The parts are given to :class:`TAM`, which holds how they work together. It keeps no state: what a frame
leaves behind is tensors that the caller keeps, and the caller decides which of them a frame reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.layers import MLP
from pocketeye.models.tam.image_encoder import ImageEncoder, ImageFeatures
from pocketeye.models.tam.mask_decoder import DecodedMasks, MaskDecoder
from pocketeye.models.tam.matching import Matching
from pocketeye.models.tam.memory_attention import Memory, MemoryAttention, join, pointer_tokens
from pocketeye.models.tam.memory_encoder import MemoryEncoder
from pocketeye.models.tam.memory_rule import MemoryRule
from pocketeye.models.tam.prompt_encoder import PromptEncoder
from pocketeye.models.tam.prompt_maps import PromptMaps
from pocketeye.models.tam.prompt_numbers import ABSENT_LOGIT, MASK_PROMPT_LOGIT, NO_POINT
from pocketeye.models.tam.target_model import TargetModel


class Prediction(NamedTuple):
    """Hold what the network says about ``B`` objects in one frame."""

    masks: Tensor  # (B, M, H / 4, W / 4) logits: one mask, or three that compete
    ious: Tensor  # (B, M): expected IoU of each
    mask: Tensor  # (B, 1, H / 4, W / 4) logits: the chosen one
    pointer: Tensor  # (B, C)
    score: Tensor  # (B, 1) logit: the object is in the frame where above 0


class TAM(nn.Module):
    """Segment and track: the network, made of its parts.

    :func:`pocketeye.models.create_tam` makes the published ones.


    Images have one size, (height, width) in multiples of 16, fixed when the parts are made.

    Args:
        num_maskmem: slots of the memory: one for prompted frames (the last), and one for each of the
            frames before (slot 0 is the frame just before).
        stability_delta, stability_threshold: see :func:`stable_or_best`.
        variant: name under which it was made.
        memory_rule: which frames it was trained to read.
        session_rule: which frames its sessions read, unless they are opened with another rule; None:
            those that it was trained to read.
        prompt_maps: draws clicks and boxes into the image's map too; the published networks have none.
        matching: carries masks along by likeness; the published networks have none.
        target: tells the object from its surroundings by regression on the memory's frames, and needs
            details; the published networks have none.
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        memory_attention: MemoryAttention,
        memory_encoder: MemoryEncoder,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        num_maskmem: int = 7,
        stability_delta: float = 0.05,
        stability_threshold: float = 0.98,
        variant: str = "",
        memory_rule: MemoryRule = MemoryRule.RECENT,
        session_rule: MemoryRule | None = None,
        prompt_maps: PromptMaps | None = None,
        matching: Matching | None = None,
        target: TargetModel | None = None,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.memory_attention = memory_attention
        self.memory_encoder = memory_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder, self.prompt_maps = mask_decoder, prompt_maps
        self.matching, self.target = matching, target
        self.dim, self.mem_dim = memory_attention.dim, memory_attention.mem_dim
        self.feat_size, self.num_maskmem = memory_attention.feat_size, num_maskmem
        self.stability_delta, self.stability_threshold = stability_delta, stability_threshold
        self.variant, self.memory_rule = variant, memory_rule
        self.session_rule = session_rule or memory_rule
        self.maskmem_tpos_enc = nn.Parameter(torch.empty(num_maskmem, 1, 1, self.mem_dim))
        self.no_mem_embed = nn.Parameter(torch.empty(1, 1, self.dim))
        self.no_mem_pos_enc = nn.Parameter(torch.empty(1, 1, self.dim))  # in the files; not used
        self.no_obj_ptr = nn.Parameter(torch.empty(1, self.dim))
        # 0.02 is SAM 2's, as for the embeddings of a ViT.
        for embedding in (self.maskmem_tpos_enc, self.no_mem_embed, self.no_mem_pos_enc):
            nn.init.trunc_normal_(embedding, std=0.02)
        nn.init.trunc_normal_(self.no_obj_ptr, std=0.02)
        # Turns a mask that the user gives into a mask prompt, at a quarter of the size.
        self.mask_downsample = nn.Conv2d(1, 1, 4, stride=4)
        self.obj_ptr_proj = MLP(self.dim, self.dim, self.dim, self.dim)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the images it takes."""
        return 16 * self.feat_size[0], 16 * self.feat_size[1]

    def forward(self, image: Tensor, points: Tensor, labels: Tensor) -> Prediction:
        """Segment what was clicked on in one image; see :meth:`predict` for the prompts."""
        feat, details = self.encode_image(image)
        return self.predict(self.without_memory(feat), points, labels, details=details)

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """Encode normalised images ``(B, 3, H, W)``; all objects share the result.

        ``feat`` is ``(B, C, H / 16, W / 16)``; ``details`` are the finer maps that our own networks have
        and the published ones have not.
        """
        return self.image_encoder.encode_image(image)

    def without_memory(self, feat: Tensor) -> Tensor:
        """Return features of a frame in which an object is prompted for the first time.

        SAM 2 adds an embedding instead of attending to an empty memory (directly_add_no_mem_embed).
        """
        return feat + self.no_mem_embed.transpose(1, 2)[..., None]

    # --- prompts to masks -------------------------------------------------------------------------

    def predict(
        self,
        feat: Tensor,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        multimask: bool | None = None,
        stability_fallback: bool = True,
        details: tuple[Tensor, ...] = (),
    ) -> Prediction:
        """Predict masks of ``B`` objects, from features that know their memory.

        Args:
            feat: ``(1 or B, C, h, w)``.
            points: ``(B, P, 2)`` pixels of the model's input, ``labels`` as in
                :class:`PromptEncoder`; without them the frame is tracked.
            mask: ``(B, 1, H / 4, W / 4)`` logits, such as :func:`as_prompt` of an earlier answer.
            multimask: three masks that compete; by default where ``P`` is 0 or 1 (SAM 2's
                multimask_min_pt_num and multimask_max_pt_num). Two points or more, so also a box, say
                enough for the single mask. Points that fill up a batch (label
                -1) count, and are seen by the network: batch objects with equally many prompts.
            stability_fallback: see :func:`stable_or_best`.
            details: of :meth:`encode_image`, of the same frame.
        """
        multimask = (points is None or points.shape[1] <= 1) if multimask is None else multimask
        decoded = self.decode(feat, points, labels, mask, details)
        return self.choose(decoded, multimask, stability_fallback)

    def decode(
        self,
        feat: Tensor,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        details: tuple[Tensor, ...] = (),
    ) -> DecodedMasks:
        """Return all that the decoder says, from arguments as of :meth:`predict`; for training."""
        # A frame without prompts is one with a single point that is none: so was SAM 2 trained.
        if points is None or labels is None:
            batch = feat.shape[0] if mask is None else mask.shape[0]
            points = feat.new_zeros(batch, 1, 2)
            labels = torch.full((batch, 1), NO_POINT, dtype=torch.int64, device=feat.device)
        prompts, dense = self.prompt_encoder(points, labels, mask)
        if self.prompt_maps is not None:
            dense = dense + self.prompt_maps(feat, points, labels)
        return self.mask_decoder(feat, self.prompt_encoder.dense_pos, prompts, dense, details)

    def choose(
        self, decoded: DecodedMasks, multimask: bool, stability_fallback: bool = True
    ) -> Prediction:
        """Return the prediction that :meth:`predict` makes of what the decoder says."""
        if multimask:  # mask 0 is the one that stands alone
            masks, ious, tokens = decoded.masks[:, 1:], decoded.ious[:, 1:], decoded.tokens[:, 1:]
        elif stability_fallback:
            # The pointer is made from the single mask's token even where another mask is taken.
            delta, threshold = self.stability_delta, self.stability_threshold
            masks, ious = stable_or_best(decoded.masks, decoded.ious, delta, threshold)
            tokens = decoded.tokens[:, :1]
        else:
            masks, ious, tokens = decoded.masks[:, :1], decoded.ious[:, :1], decoded.tokens[:, :1]
        # A hard decision: SAM 2 wipes out masks and pointer of an object that it thinks is not there.
        present = decoded.score > 0
        masks = torch.where(present[..., None, None], masks, ABSENT_LOGIT)
        best = ious.argmax(1)
        pointer = self.obj_ptr_proj(take(tokens, best)[:, 0])
        pointer = torch.where(present, pointer, self.no_obj_ptr)
        return Prediction(masks, ious, take(masks, best), pointer, decoded.score)

    def adopt_mask(
        self, feat: Tensor, mask: Tensor, details: tuple[Tensor, ...] = ()
    ) -> Prediction:
        """Take a mask that the user gave as the answer; the network only makes the pointer.

        Args:
            feat: raw features ``(1 or B, C, h, w)``, without :meth:`without_memory`.
            mask: ``(B, 1, H, W)``, 1 in the object, 0 elsewhere.
        """
        logits = mask * 20.0 - 10.0  # SAM 2's: sure either way, the sigmoid is 5e-5 from 0 or 1
        low_res = F.interpolate(logits, scale_factor=0.25, mode="bilinear", antialias=True)
        prompt = self.mask_downsample(mask)
        # Neither competing masks nor the fall-back: only this prediction's pointer is used.
        prediction = self.predict(
            feat, mask=prompt, multimask=False, stability_fallback=False, details=details
        )
        present = mask.flatten(1).amax(1, keepdim=True) > 0
        pointer = torch.where(present, prediction.pointer, self.no_obj_ptr)
        score = present.to(mask.dtype) * 20.0 - 10.0
        return Prediction(low_res, torch.ones_like(score), low_res, pointer, score)

    # --- memory -----------------------------------------------------------------------------------

    def encode_memory(self, seen: ImageFeatures, mask: Tensor, binarize: bool = False) -> Tensor:
        """Return a map of the memory, ``(B, map_chs, h, w)``.

        Behind its ``mem_dim`` channels come those of matching and of the target model, where there are
        such.

        Args:
            seen: raw features and details of the frame, batch of 1 or B.
            mask: ``(B, 1, H, W)`` or ``(B, 1, H / 4, W / 4)`` logits.
            binarize: for prompted frames, as the authors' predictor does.
        """
        if mask.shape[2:] != self.image_size:
            mask = F.interpolate(mask, size=self.image_size, mode="bilinear", align_corners=False)
        # 20 and -10 are SAM 2's sigmoid_scale_for_mem_enc and sigmoid_bias_for_mem_enc.
        shown = (mask > 0).to(mask.dtype) if binarize else mask.sigmoid()
        written = [self.memory_encoder(seen.feat, shown * 20.0 - 10.0)]
        if self.matching is not None:
            written.append(self.matching.write(seen.feat, shown))
        if self.target is not None:
            written.append(self.target.write(seen, shown))
        return written[0] if len(written) == 1 else torch.cat(written, 1)

    @property
    def map_chs(self) -> int:
        """Channels of a map of the memory."""
        return sum(self._map_parts())

    def _map_parts(self) -> list[int]:
        """Channels of memory attention, matching and target model in a map."""
        parts = (self.matching, self.target)
        return [self.mem_dim, *(0 if part is None else part.num_channels for part in parts)]

    def prepare_map(self, memory: Tensor, pooled: bool = True) -> Memory:
        """Prepare a map once, when it is written: :meth:`MemoryAttention.prepare_map`."""
        own, match, target = memory.split(self._map_parts(), 1)
        prepared = self.memory_attention.prepare_map(own, pooled)
        if self.matching is not None:
            prepared = prepared._replace(match=match.flatten(2).transpose(1, 2))
        if self.target is not None:
            prepared = prepared._replace(target=self.target.sums(target))
        return prepared

    def slot_keys(self, pooled: bool = True) -> Tensor:
        """Return what each age adds to a map's keys, ``(slots, D, 1, L, C)``: constant, keep it."""
        return self.memory_attention.slot_keys(self.maskmem_tpos_enc.flatten(1), pooled)

    def gather(
        self, maps: list[Memory], slots: list[int], slot_keys: Tensor, pointers: Tensor
    ) -> Memory:
        """Put together what a frame reads, out of prepared maps.

        Args:
            maps: of :meth:`prepare_map`: whole if there is one, pooled if there are more.
            slots: of each map: ``num_maskmem - 1`` if it was prompted, ``d - 1`` if it was left ``d``
                frames ago.
            slot_keys: of :meth:`slot_keys`, pooled like the maps.
            pointers: ``(B, P, C)``, in any order.
        """
        placed = [
            part._replace(keys=part.keys + slot_keys[slot])
            for part, slot in zip(maps, slots, strict=True)
        ]
        joined = join([*placed, self.memory_attention.prepare_pointers(pointers)])
        sums = [part.target for part in maps if part.target is not None]
        return joined._replace(target=self._weigh(sums, slots))

    def _weigh(self, sums: list[Tensor], slots: list[int]) -> Tensor | None:
        """What the target model is solved from; None where there is no such model."""
        if self.target is None:
            return None
        return self.target.weigh(sums, [slot == self.num_maskmem - 1 for slot in slots])

    def read(self, seen: ImageFeatures, memory: Memory) -> ImageFeatures:
        """Return features and details that know ``memory``, from raw ones (batch of 1 or B)."""
        return self.read_each(seen, [memory])

    def read_each(self, seen: ImageFeatures, memories: Iterable[Memory]) -> ImageFeatures:
        """Call :meth:`read` for one object after another: :meth:`MemoryAttention.read_each`."""
        memories = list(memories)
        read = self.memory_attention.read_each(seen.feat, memories)
        if self.matching is not None:
            match = [memory.match for memory in memories if memory.match is not None]
            read = read + torch.cat([self.matching(seen.feat, each) for each in match])
        if self.target is None:
            return seen._replace(feat=read)
        sums = [memory.target for memory in memories if memory.target is not None]
        return self.target(seen, torch.cat(sums), read)

    def read_raw(
        self, seen: ImageFeatures, maps: list[Tensor], slots: list[int], pointers: Tensor
    ) -> ImageFeatures:
        """Read maps ``(B, M, h, w)`` as they were written, in the authors' way; the same output."""
        parts = [memory.split(self._map_parts(), 1) for memory in maps]
        tokens = [own.flatten(2).transpose(1, 2) for own, _, _ in parts]
        place = self.memory_attention.memory_pos[None]
        # Keys get the cell's place and the map's age; pointers, which come last, get neither.
        positions = [place + self.maskmem_tpos_enc[slot] for slot in slots]
        heads = pointer_tokens(pointers, self.mem_dim)
        memory = torch.cat([*tokens, heads], 1)
        position = torch.cat([*positions, heads.new_zeros(1, *heads.shape[1:])], 1)
        read = self.memory_attention(seen.feat, memory, position, heads.shape[1])
        if self.matching is not None:
            cells = [match.flatten(2).transpose(1, 2) for _, match, _ in parts]
            read = read + self.matching(seen.feat, torch.cat(cells, 1))
        if self.target is None:
            return seen._replace(feat=read)
        sums = self._weigh([self.target.sums(target) for _, _, target in parts], slots)
        return self.target(seen, sums, read)


def as_prompt(mask: Tensor) -> Tensor:
    """Bring the logits of an earlier answer within the bounds of a mask prompt."""
    return mask.clamp(-MASK_PROMPT_LOGIT, MASK_PROMPT_LOGIT)


def take(x: Tensor, index: Tensor) -> Tensor:
    """Return ``x[b, index[b]]`` for each b, as ``(B, 1, …)``."""
    index = index.view(-1, *[1] * (x.ndim - 1)).expand(-1, 1, *x.shape[2:])
    return x.gather(1, index)


def stable_or_best(
    masks: Tensor, ious: Tensor, delta: float, threshold: float
) -> tuple[Tensor, Tensor]:
    """Take the single mask where it is stable, else the competing mask with the best expected IoU.

    Stable: the pixels above ``delta`` are at least the share ``threshold`` of those above ``-delta``.

    Args:
        masks: ``(B, M, H, W)`` logits, the single mask first; ``ious`` is ``(B, M)``.

    Returns:
        Mask ``(B, 1, H, W)`` and expected IoU ``(B, 1)``.
    """
    single = masks[:, 0].flatten(1)
    inner, outer = (single > delta).sum(1), (single > -delta).sum(1)
    # A product, not a quotient: a mask with nothing within either bound is stable.
    stable = inner >= threshold * outer
    index = torch.where(stable, 0, ious[:, 1:].argmax(1) + 1)
    return take(masks, index), take(ious, index)
