"""Run ``pocketeye track``: follow objects through videos from a click."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pocketeye import progress
from pocketeye.errors import InvalidValue
from pocketeye.models.tam.published import DEFAULT_TRACKER
from pocketeye.verbs.track.jobs import JobsResult, track_list
from pocketeye.verbs.track.result import TrackResult

if TYPE_CHECKING:
    from pocketeye.jobs.videos import NamedVideo
    from pocketeye.tracking.video.frame_prompts import Request

# What is imported here at the top delays the first line on the screen: torch and PyAV come when a bar
# says that they do.


def track(
    videos: list[str] | None = None,
    *,
    point: list[str] | None = None,
    box: str | None = None,
    frame: int | None = None,
    object: list[str] | None = None,
    remove: list[str] | None = None,
    name: list[str] | None = None,
    prompts: Path | None = None,
    detect: str | None = None,
    classes: list[str] | None = None,
    score_threshold: float | None = None,
    jobs: Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    patience: float = 600,
    stretch: int | None = None,
    show: bool = False,
    start: int = 0,
    stop: int | None = None,
    model: str = DEFAULT_TRACKER,
    checkpoint: Path | None = None,
    out: list[Path] | None = None,
    form: Literal[
        "labels",
        "overlay",
        "cutout",
        "coco",
        "cvat",
        "label-studio",
        "labelme",
        "mot",
        "voc",
        "yolo-detect",
        "yolo-segment",
    ]
    | None = None,
    fps: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    max_prompted_maps: int = 8,
    hole_area: int = 8,
    non_overlapping: bool = False,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    dtype: Literal["float32", "bfloat16"] = "float32",
    engine: Literal["auto", "onnxruntime", "torch"] = "auto",
) -> TrackResult | JobsResult:
    """Follow objects through videos from a click.

    Args:
        videos: video files, folders of frames, folders of videos, patterns in quotes, addresses in
            storage (s3://…), or the number of a camera. Each is asked the same.
        point: x,y on object 1, in pixels; x,y:0 beside it; may be repeated.
        box: x0,y0,x1,y1 round object 1.
        frame: where these are seen, by default the first that is tracked.
        object: a point of any object in any frame, as 2:x,y@50, or its box as 2:x0,y0,x1,y1@50; may
            be repeated. In a frame where the object is tracked already it is a correction.
        remove: an object and the frame from which it is gone, as 2@80; may be repeated.
        name: what an object is called, as 1=dog; may be repeated. Names are the categories of COCO
            and the classes of MOT.
        prompts: a file or folder of labels whose objects are tracked, each from the frame in which it is
            seen first: COCO or Label Studio (.json), CVAT or Pascal VOC (.xml), LabelMe, MOT or YOLO
            (.txt), label images (.png). Of several videos a folder with one of each name.
        detect: a detector that finds the objects: the run or artefact of one. The boxes it finds in the
            frame become prompts, their classes names.
        classes: of the detector, those that are tracked, as dog,car; all by default.
        score_threshold: of the detector: objects of a lower score are left out, by default those below
            0.3.
        jobs: a list of many videos instead (.csv or .yaml with a column video and what is asked of each,
            or a folder of videos), tracked by a manifest in the folder of --out; of an --out in
            storage, in a folder of its name in out/track.
        workers: with --jobs, processes of one thread each; the results are those of one. By default one,
            of a cluster one for each of its cores.
        cluster: with --jobs, let the machines of a Ray cluster work: auto for the one that this machine
            belongs to, or HOST:PORT of its head. With --device cuda each worker has a GPU.
        patience: with --jobs, seconds without a frame after which a video is given up.
        stretch: frames after which the results of a longer video are kept, with what is remembered
            then: --resume, or another worker, goes on from there. The results are the same.
        show: track nothing, but write the frame as an image with its coordinates at the edges.
        start: first frame that is tracked.
        stop: the frame before which tracking stops, by default the end.
        model: a tracker from `pocketeye list`, or the folder of a run that trained one or of an
            exported one (which starts without torch); by default ours, whose weights come along.
        checkpoint: its weights; by default its own, those that come along, or the published file,
            where it was put.
        out: file or folder to write, may be repeated: .mp4 .mkv (drawn), .webm .mov (on transparency),
            .json (COCO), .xml (CVAT), .txt (MOT), .csv, a folder (images); out/track/NAME.mp4 by
            default. Of several videos each has its own file in a folder of that name.
        form: of a folder: labels are PNGs of ids, overlay JPEGs, cutout PNGs; yolo-detect, yolo-segment,
            voc and labelme are data sets of the frames. Of a .json: coco or label-studio.
        fps: frames a second of a written video, where the source does not say (25).
        resume: finish an interrupted job: finished videos are skipped, one that is not is tracked again
            from its first frame. The results are those of a job that was not interrupted.
        overwrite: replace what was written before.
        max_prompted_maps: prompted frames that an object keeps in memory.
        hole_area: fill holes up to this many pixels of the network's masks.
        non_overlapping: give each pixel to one object at most.
        device: where the network runs.
        dtype: bfloat16 computes under autocast.
        engine: what computes. auto takes the graphs that come along with our tracker where a CPU
            computes: they start without torch and take half the time.

    Raises:
        MissingFile: no such video, or no weights (the sentence says what to put where).
        InvalidValue: a prompt outside of the video, files that would be overwritten, or a resumed job
            that asks for something else than it did before.
    """
    with progress.task("starting"):
        from pocketeye.jobs.spec import TrackSpec
        from pocketeye.jobs.videos import find_videos
    # Prompts belong to the first frame that is tracked unless told otherwise.
    at = start if frame is None else frame
    request = _request(point, box, at, object, remove, name, start, stop)
    spec = TrackSpec(
        model=model, checkpoint=checkpoint, device=device, dtype=dtype, engine=engine, detect=detect,
        classes=tuple(_many(classes)), score_threshold=score_threshold, frame=at, request=request,
        prompts=prompts, out=tuple(_paths(out)), form=form, fps=fps, overwrite=overwrite,
        resume=resume, stretch=stretch,
        options={
            "max_prompted_maps": max_prompted_maps, "hole_area": hole_area,
            "non_overlapping": non_overlapping,
        },
    )  # fmt: skip
    if jobs is not None:
        return track_list(
            jobs, spec, videos, workers=workers, cluster=cluster, patience=patience, show=show
        )
    if cluster is not None:
        raise InvalidValue("--cluster shares out many videos: name them in a list with --jobs")
    if videos is None:
        raise InvalidValue("say which video: a file, a folder, a pattern, or a list with --jobs")
    found = find_videos(videos)
    words = ["pocketeye", "track", *_said(videos)]
    if show:
        several = len(found) > 1
        shown = tuple(_show(video, at, request, out, overwrite, fps, several) for video in found)
        words += ["--frame", str(at)] if at else []
        return TrackResult(model=model, shown=shown, command=tuple(words))
    job = spec.job()
    if detect is None and prompts is None:
        # A detector's prompts, and those of a file, are not known before the video is open.
        request.check(None, "")
    tracked, failed = job.run(found)
    return TrackResult(
        model=model, videos=tuple(tracked), failed=tuple(failed),
        command=(*words, *spec.words()),
    )  # fmt: skip


def _request(
    point: Any, box: Any, at: int, objects: list[str] | None, remove: list[str] | None,
    name: list[str] | None, start: int, stop: int | None,
) -> Request:  # fmt: skip
    from pocketeye.tracking.video import frame_prompts

    return frame_prompts.Request(
        prompts=frame_prompts.parse_prompts(_many(point), box, at, _many(objects)),
        removals=frame_prompts.parse_removals(_many(remove)),
        names=frame_prompts.parse_names(_many(name)),
        start=start,
        stop=stop,
    )


def _said(videos: Any) -> list[str]:
    """Return the names of videos as they were given; frames and generators have none."""
    named = [videos] if isinstance(videos, str | Path | int) else videos
    paths = isinstance(named, list | tuple) and all(isinstance(n, str | Path | int) for n in named)
    return [str(name) for name in named] if paths else ["VIDEO"]


def _many(value: Any) -> list[Any]:
    """Return one value, or one point given as numbers, in a list; None as an empty one."""
    if value is None:
        return []
    # (x, y) is one point, not two.
    lone = isinstance(value, str) or (
        len(value) > 0 and all(isinstance(number, int | float) for number in value)
    )
    return [value] if lone else list(value)


def _paths(out: Any) -> list[Path]:
    from pocketeye.jobs.storage import here

    if out is None:
        return []
    return [Path(here(str(path))) for path in ([out] if isinstance(out, str | Path) else out)]


def _show(
    video: NamedVideo,
    at: int,
    request: Request,
    out: Any,
    overwrite: bool,
    fps: float | None,
    several: bool,
) -> Path:
    """Write a frame with its coordinates.

    Raises:
        InvalidValue: no such frame, or the file is there already.
    """
    from pocketeye.jobs.targets import DEFAULT_FOLDER
    from pocketeye.results.result import save_image
    from pocketeye.tracking.io.ruler import with_ruler
    from pocketeye.tracking.io.source import open_video

    given = _paths(out)
    if len(given) > 1:
        raise InvalidValue("--show writes one image: give --out once, or leave it out")
    if several and given and given[0].suffix:
        raise InvalidValue("--show writes an image of each video: give a folder with --out")
    path = DEFAULT_FOLDER / f"{video.name}_{at:05d}.png"
    if given:
        path = given[0] if given[0].suffix else given[0] / path.name
        if path.exists() and not overwrite:
            raise InvalidValue(f"{path} is already there: replace it with --overwrite")
    with open_video(video.source, fps=fps) as frames:
        prompts = [prompt for prompt in request.prompts if prompt.frame == at]
        return save_image(with_ruler(frames[at], prompts), path)
