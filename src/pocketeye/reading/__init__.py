"""Read files that anyone may have written or damaged: bounded, validated, wrong in one sentence."""

from pocketeye.reading.archives import require_bounded
from pocketeye.reading.fields import (
    BadField,
    Channels,
    Classes,
    Converters,
    Kind,
    NonNegative,
    Pixels,
    Probability,
    Range,
    make,
    make_mapping,
    pick,
    reading,
)
from pocketeye.reading.files import (
    MOST_ANNOTATION_BYTES,
    MOST_TEXT_BYTES,
    is_file,
    open_regular,
    read_regular,
    read_text,
    require_file,
    what_is_at,
)
from pocketeye.reading.parsing import parse_json, parse_yaml, read_csv, read_json, read_yaml

__all__ = [
    "MOST_ANNOTATION_BYTES",
    "MOST_TEXT_BYTES",
    "BadField",
    "Channels",
    "Classes",
    "Converters",
    "Kind",
    "NonNegative",
    "Pixels",
    "Probability",
    "Range",
    "is_file",
    "make",
    "make_mapping",
    "open_regular",
    "parse_json",
    "parse_yaml",
    "pick",
    "read_csv",
    "read_json",
    "read_regular",
    "read_text",
    "read_yaml",
    "reading",
    "require_bounded",
    "require_file",
    "what_is_at",
]
