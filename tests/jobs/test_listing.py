"""Lists of videos: CSV, YAML and folders; what is wrong in them is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.jobs.listing import named_video, read_jobs
from pocketeye.tracking.video.frame_prompts import Request, parse_prompts

NOTHING = Request()
COMMON = Request(
    prompts=parse_prompts(["5,6"], None, 3, []), names={1: "dog"}, removals={1: 8}, start=2, stop=9
)


def test_a_csv_names_videos_and_prompts(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_bytes(
        b'video,point,object,name,frame,prompts\nclips/a.mp4,"3,4;5,6:0",,1=dog,2,\n'
        b'caf\xe9.mp4,,"2:1,2,8,9@5",,,\n\nrtsp://host/x,,,,,labels.xml\n'
    )
    first, second, third = read_jobs(path)
    assert first.source == str(tmp_path / "clips/a.mp4")
    video = named_video(first, NOTHING)
    assert video.request is not None
    (prompt,) = video.request.prompts
    assert (prompt.frame, prompt.points, prompt.labels) == (2, [(3, 4), (5, 6)], [1, 0])
    assert video.request.names == {1: "dog"}
    assert second.source == str(tmp_path / os.fsdecode(b"caf\xe9.mp4"))
    assert named_video(second, NOTHING).said.endswith("caf?.mp4")
    assert third.source == "rtsp://host/x"
    assert named_video(third, NOTHING).prompts == tmp_path / "labels.xml"


def test_a_yaml_and_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text("- a.mp4\n- {video: b.mp4, point: ['1,2', '3,4'], start: 7}\n")
    plain, asked = read_jobs(path)
    assert named_video(plain, COMMON).request == COMMON
    request = named_video(asked, NOTHING).request
    assert request is not None
    assert (request.start, request.prompts[0].frame, len(request.prompts[0].points)) == (7, 7, 2)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "x.mp4").touch()
    assert [row.source for row in read_jobs(tmp_path / "clips")] == [str(tmp_path / "clips/x.mp4")]


@pytest.mark.parametrize(
    ("row", "at", "span", "names"),
    [
        # What a row does not say, the command says; its own click stands for the command's.
        ("{video: a, stop: 5}", (3, (5, 6)), (2, 5), {1: "dog"}),
        ("{video: a, point: '1,2'}", (4, (1, 2)), (2, 9), {1: "dog"}),
        ("{video: a, point: '1,2', start: 1, name: 1=cat}", (1, (1, 2)), (1, 9), {1: "cat"}),
        ("{video: a, point: '1,2', frame: 6, start: 1}", (6, (1, 2)), (1, 9), {1: "dog"}),
    ],
)
def test_what_a_row_leaves_out(
    row: str, at: tuple[int, Any], span: tuple[int, int], names: dict[int, str], tmp_path: Path
) -> None:
    (tmp_path / "jobs.yaml").write_text(f"- {row}\n")
    (read,) = read_jobs(tmp_path / "jobs.yaml")
    request = named_video(read, COMMON, 4).request
    assert request is not None
    (prompt,) = request.prompts
    assert (prompt.frame, prompt.points) == (at[0], [at[1]])
    assert (request.start, request.stop) == span
    assert (request.names, request.removals) == (names, {1: 8})


def test_labels_of_a_row_stand_for_the_clicks_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("- {video: a, prompts: a.json}\n")
    (read,) = read_jobs(tmp_path / "jobs.yaml")
    video = named_video(read, COMMON)
    assert video.request is not None
    assert (video.request.prompts, video.prompts) == ((), tmp_path / "a.json")


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
            named_video(row, NOTHING)
