"""Hold what networks find: compact masks, results, and one style of drawing for all of them."""

from pocketeye.results.colors import color_of as color_of
from pocketeye.results.label_map import LabelMap as LabelMap
from pocketeye.results.masks import CompactMask as CompactMask, Masks as Masks
from pocketeye.results.result import Result as Result
