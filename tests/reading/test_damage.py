"""Whatever is done to a file, its readers read it or refuse it in one sentence; nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.reading.damage import DEEP, LIGHT, damaged_bytes, damaged_tree, refusal
from tests.reading.samples import SAMPLES, Sample

tries = pytest.mark.parametrize(
    "tries", [LIGHT, pytest.param(DEEP, marks=pytest.mark.slow)], ids=["light", "deep"]
)


def read(sample: Sample, folder: Path, content: bytes) -> None:
    """Let every reader have the file; a refusal is one sentence, any other exception fails the test."""
    path = folder / sample.file
    path.write_bytes(content)
    for reader in sample.readers:
        said = refusal(reader, path)
        assert said is None or (said.strip() and "\n" not in said), said
        path.write_bytes(content)  # one of the readers writes


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each kind, with what its readers need beside the file."""
    found = {name: tmp_path_factory.mktemp("damage") for name in SAMPLES}
    for name, folder in found.items():
        SAMPLES[name].beside(folder)
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_the_sound_file_is_read(name: str, folders: dict[str, Path]) -> None:
    sample = SAMPLES[name]
    (folders[name] / sample.file).write_text(sample.text)
    for reader in sample.readers:
        said = refusal(reader, folders[name] / sample.file)
        assert said is None or "cannot resume" in said, said  # another run, whatever its file


@tries
@pytest.mark.parametrize("name", [n for n, s in SAMPLES.items() if not isinstance(s.content, str)])
def test_a_damaged_value_is_one_sentence(
    name: str, tries: settings, folders: dict[str, Path]
) -> None:
    sample = SAMPLES[name]

    @tries
    @given(damaged_tree(sample.content))
    def check(text: str) -> None:
        read(sample, folders[name], text.encode())

    check()


@tries
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_bytes_are_one_sentence(
    name: str, tries: settings, folders: dict[str, Path]
) -> None:
    sample = SAMPLES[name]

    @tries
    @given(damaged_bytes(sample.text.encode()))
    def check(content: bytes) -> None:
        read(sample, folders[name], content)

    check()
