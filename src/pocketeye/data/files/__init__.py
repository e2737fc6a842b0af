"""Read the files of any data set: images, listings, splits, text; and keep what was wrong in them.

The folders of annotations take these from here.
"""

from pocketeye.data.files.decode import (
    DECODER_ERRORS as DECODER_ERRORS,
    SUFFIXES as SUFFIXES,
    UnreadableImage as UnreadableImage,
    decode as decode,
    decode_as as decode_as,
    header_size as header_size,
    looks_like_image as looks_like_image,
    no_comments as no_comments,
    num_frames as num_frames,
    read_pixels as read_pixels,
    to_mode as to_mode,
    turned_upright as turned_upright,
    upright_size as upright_size,
)
from pocketeye.data.files.foreign_paths import (
    ListedNames as ListedNames,
    SetFiles as SetFiles,
    find_inside as find_inside,
    leads_out as leads_out,
    missing_text as missing_text,
    path_parts as path_parts,
)
from pocketeye.data.files.listing import Listing as Listing, require_known as require_known
from pocketeye.data.files.names import Names as Names
from pocketeye.data.files.problems import (
    Note as Note,
    Problems as Problems,
    deliver as deliver,
    post_problems as post_problems,
    require_some as require_some,
    take_posted as take_posted,
)
from pocketeye.data.files.sources import FileSource as FileSource, walk as walk
from pocketeye.data.files.splits import (
    HOLD_OUT as HOLD_OUT,
    HOLD_OUT_SEED as HOLD_OUT_SEED,
    SPLITS as SPLITS,
    STANDS_IN as STANDS_IN,
    find_split as find_split,
    hold_out as hold_out,
    known_split as known_split,
    spellings as spellings,
    split_in as split_in,
    splits_among as splits_among,
    stratified_split as stratified_split,
    validates_on_test as validates_on_test,
    validation_names as validation_names,
)
from pocketeye.data.files.stores import (
    EncodedStore as EncodedStore,
    ImageGathering as ImageGathering,
    MemoryStore as MemoryStore,
    Store as Store,
)
from pocketeye.data.files.text_files import (
    files_in as files_in,
    read_lines as read_lines,
    read_text as read_text,
    read_yaml_as_written as read_yaml_as_written,
)
