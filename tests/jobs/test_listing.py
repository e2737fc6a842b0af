"""Lists of videos: CSV, YAML and folders; what is wrong in them is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.jobs.listing import named_video, read_jobs


def test_a_csv_names_videos_and_prompts(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_bytes(
        b'video,point,object,name,frame,prompts\nclips/a.mp4,"3,4;5,6:0",,1=dog,2,\n'
        b'caf\xe9.mp4,,"2:1,2,8,9@5",,,\n\nrtsp://host/x,,,,,labels.xml\n'
    )
    first, second, third = read_jobs(path)
    assert first.source == str(tmp_path / "clips/a.mp4")
    video = named_video(first)
    assert video.request is not None
    (prompt,) = video.request.prompts
    assert (prompt.frame, prompt.points, prompt.labels) == (2, [(3, 4), (5, 6)], [1, 0])
    assert video.request.names == {1: "dog"}
    assert second.source == str(tmp_path / os.fsdecode(b"caf\xe9.mp4"))
    assert named_video(second).said.endswith("caf?.mp4")
    assert third.source == "rtsp://host/x"
    assert named_video(third).prompts == tmp_path / "labels.xml"


def test_a_yaml_and_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text("- a.mp4\n- {video: b.mp4, point: ['1,2', '3,4'], start: 7}\n")
    plain, asked = read_jobs(path)
    assert named_video(plain).request is None
    request = named_video(asked).request
    assert request is not None
    assert (request.start, request.prompts[0].frame, len(request.prompts[0].points)) == (7, 7, 2)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "x.mp4").touch()
    assert [row.source for row in read_jobs(tmp_path / "clips")] == [str(tmp_path / "clips/x.mp4")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "column 'video'"),
        ("video\n", "lists no video"),
        ("video,pont\n", "Did you mean 'point'"),
        ("video,point\na.mp4,1,2\n", "3 cells"),
        ("video,video\na,b\n", "once"),
        ("video,point\n,1\n", "names no video"),
        ('video\n"a', "damaged"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(text)
    with pytest.raises(InvalidValue, match=words):
        list(read_jobs(path))
    with pytest.raises(MissingFile):
        list(read_jobs(tmp_path / "none.csv"))


def test_a_wrong_prompt_is_a_matter_of_its_video(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("video,point,frame\na.mp4,here,\nb.mp4,,x\n")
    for row in read_jobs(path):
        with pytest.raises(InvalidValue, match=r"a point is|number of a frame"):
            named_video(row)
