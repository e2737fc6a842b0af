"""Answer Label Studio as an ML backend does: ``/health``, ``/setup`` and ``/predict``.

The fields are those of Label Studio's manual, "Write your own ML backend", and of its package
``label-studio-ml``: smart keypoints and rectangles come as ``params.context.result``, and regions go
back in the form of the labelling configuration.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from starlette.requests import Request
from starlette.routing import Route

from pocketeye.data.labelled import label_studio
from pocketeye.data.labelled.objects import LabelledObject, Size
from pocketeye.data.labelled.outline import outline_of
from pocketeye.errors import InvalidValue
from pocketeye.reading import parse_xml
from pocketeye.web.backends.endpoints import Endpoints, fields, items, numbers
from pocketeye.web.backends.images import ImageSource
from pocketeye.web.backends.label_studio_video import track_regions
from pocketeye.web.backends.model import BackendModel, Clicks

logger = logging.getLogger(__name__)
_SMART = ("keypointlabels", "rectanglelabels", "keypoint", "rectangle")
# What a mask becomes, by the tag of the labelling configuration: the first that is there.
_ANSWERS = {
    "BrushLabels": "brushlabels", "PolygonLabels": "polygonlabels",
    "RectangleLabels": "rectanglelabels",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Control:
    """Say how an answer is labelled.

    Attributes:
        kind: ``brushlabels``, ``polygonlabels``, ``rectanglelabels`` or ``videorectangle``.
        from_name: of the tag that labels.
        to_name: of the tag that shows the image or video.
        key: of the image or video in a task's data.
    """

    kind: str
    from_name: str
    to_name: str
    key: str


def label_studio_routes(model: BackendModel, source: ImageSource) -> list[Route]:
    """Return the routes of an ML backend."""
    endpoints = Endpoints()
    version = f"pocketeye {model.name}"

    def up(_: Request) -> Any:
        return {"status": "UP", "model_class": model.name}

    def setup(data: Mapping[str, Any], _: Request) -> Any:
        _controls(data.get("schema"))  # a configuration that cannot be served is refused here
        return {"model_version": version}

    def predict(data: Mapping[str, Any], _: Request) -> Any:
        tasks = items(data.get("tasks"), "tasks")
        params = fields(data.get("params") or {}, "params")
        context = fields(params.get("context") or {}, "context")
        regions = [fields(r, "a region") for r in items(context.get("result"), "context.result")]
        # Without a click there is nothing to answer: no prediction, rather than an empty one.
        if not tasks or not regions:
            return {"results": []}
        controls = _controls(data.get("label_config"))
        values = fields(fields(tasks[0], "a task").get("data"), "a task's data")
        if controls[0].kind == "videorectangle":
            control = controls[0]
            result = track_regions(
                model, source, values.get(control.key), regions, control.from_name, control.to_name
            )
            return {"results": [{"result": result, "model_version": version}]}
        found = _interactive(model, source, values, regions, controls)
        scores = [each["score"] for each in found]
        score = float(np.mean(scores)) if scores else 0.0
        return {"results": [{"result": found, "score": score, "model_version": version}]}

    return [
        endpoints.get("/", up),
        endpoints.get("/health", up),
        endpoints.get("/metrics", lambda _: {}),
        endpoints.post("/setup", setup),
        endpoints.post("/predict", predict),
    ]


def _controls(text: Any) -> list[Control]:
    """Return the tags by which a mask can be labelled, those that hold it best first.

    Raises:
        InvalidValue: no configuration, or none for images or videos that can be served.
    """
    try:
        top = parse_xml(text.encode("utf-8", "replace")) if isinstance(text, str) else None
    except ValueError as error:
        raise InvalidValue(f"the labelling configuration is no XML: {error}") from error
    if top is None:
        raise InvalidValue("a request without its labelling configuration")
    shown = {e.get("name", ""): e.get("value", "").lstrip("$") for e in top.iter()
             if e.tag in ("Image", "Video")}  # fmt: skip
    found = [
        _control(tag, kind, shown)
        for name, kind in (*_ANSWERS.items(), ("VideoRectangle", "videorectangle"))
        for tag in top.iter(name)
        if tag.get("toName", "") in shown
    ]
    if not found:
        raise InvalidValue(
            "the labelling configuration has no tag that a mask can become: "
            f"{', '.join(_ANSWERS)} of an Image, or VideoRectangle of a Video"
        )
    return found


def _control(tag: Element, kind: str, shown: Mapping[str, str]) -> Control:
    to_name = tag.get("toName", "")
    return Control(kind=kind, from_name=tag.get("name", ""), to_name=to_name, key=shown[to_name])


def _interactive(
    model: BackendModel, source: ImageSource, values: Mapping[str, Any],
    regions: Sequence[Mapping[str, Any]], controls: Sequence[Control],
) -> list[dict[str, Any]]:  # fmt: skip
    control = controls[0]
    # Percent of the image as a browser shows it, which is upright.
    found = model.segment(source.read(values.get(control.key)), lambda size: _clicks(regions, size))
    label = _label(regions)
    assert found.masks is not None
    assert found.scores is not None
    result = []
    for n, mask in enumerate(found.masks, 1):
        if not mask.area:
            logger.warning("nothing was found where somebody clicked")
            continue
        each = LabelledObject(
            object_id=n,
            label=label,
            mask=mask,
            score=min(max(float(found.scores[n - 1]), 0.0), 1.0),
        )
        result.append(_region(each, found.size, control))
    return result


def _region(each: LabelledObject, size: Size, control: Control) -> dict[str, Any]:
    assert each.mask is not None
    if control.kind == "brushlabels":
        value = label_studio.brush_value(each, size)
    elif control.kind == "polygonlabels":
        points = label_studio.percent_points(outline_of(each.mask), size)
        value = {"points": points, "closed": True}
    else:
        value = label_studio.percents(each, size)
    names = (control.from_name, control.to_name)
    region = label_studio.image_region(each, size, control.kind, value, secrets.token_hex(5), names)
    return {**region, "readonly": False}


def _label(regions: Sequence[Mapping[str, Any]]) -> str:
    """Return the label that the last region has."""
    label = ""
    for region in regions:
        value = fields(region.get("value"), "a region's value")
        said = value.get(str(region.get("type"))) or value.get("labels")
        if isinstance(said, list):
            label = next((name for name in said if isinstance(name, str)), label)
    return label


def _clicks(regions: Sequence[Mapping[str, Any]], size: Size) -> Clicks:
    """Return the clicks and boxes of regions."""
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    boxes: list[tuple[float, float, float, float]] = []
    for region in regions:
        kind = region.get("type")
        if kind not in _SMART:
            continue
        value = fields(region.get("value"), "a region's value")
        x, y = _pixels(value, ("x", "y"), size)
        if str(kind).startswith("keypoint"):
            # The lower and right edges are the first pixels outside.
            points.append((min(x, size[0] - 0.01), min(y, size[1] - 0.01)))
            labels.append(int(bool(region.get("is_positive", True))))
        else:
            width, height = _pixels(value, ("width", "height"), size)
            boxes.append((x, y, x + width, y + height))
    return Clicks(points=points, labels=labels, boxes=boxes)


def _pixels(value: Mapping[str, Any], keys: tuple[str, str], size: Size) -> tuple[float, float]:
    """Return two numbers that are percent of width and height, in pixels."""
    across, down = numbers([value.get(key) for key in keys], 2, " and ".join(keys))
    return across * size[0] / 100, down * size[1] / 100
