"""Answer requests in JSON: bodies are parsed and work is done in threads, and few wait at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pocketeye.data.labelled.objects import finite
from pocketeye.errors import InvalidValue, UserError
from pocketeye.reading import parse_json

MOST_WAITING = 8
"""Requests that are worked on or wait for it: each holds its body. More are told to come again."""

Answer = Callable[[Mapping[str, Any], Request], Any]
Failure = Callable[[str], Any]


def plain_failure(sentence: str) -> Any:
    """Return the body of an answer that says what was wrong with a request."""
    return {"error": sentence}


class Endpoints:
    """Make routes that share one count of who waits.

    Args:
        failure: makes the body that says what was wrong, in a tool's own form.
        failure_status: of such an answer; some tools read the body of 200 only.
    """

    def __init__(self, failure: Failure = plain_failure, failure_status: int = 422) -> None:
        self._failure, self._status = failure, failure_status
        self._places = threading.Semaphore(MOST_WAITING)

    def get(self, path: str, answer: Callable[[Request], Any]) -> Route:
        """Return a route to something that costs nothing."""

        async def endpoint(request: Request) -> Response:
            try:
                return JSONResponse(answer(request))
            except UserError as error:
                return JSONResponse(self._failure(str(error)), status_code=404)

        return Route(path, endpoint, methods=["GET"])

    def post(self, path: str, answer: Answer) -> Route:
        """Return a route to work; the answer is JSON, or a response of its own."""

        async def endpoint(request: Request) -> Response:
            if not self._places.acquire(blocking=False):
                return JSONResponse(
                    self._failure("too many requests at once: come again"), status_code=503,
                    headers={"retry-after": "1"},
                )  # fmt: skip
            try:
                body = await request.body()
                return await run_in_threadpool(self._answered, answer, body, request)
            finally:
                self._places.release()

        return Route(path, endpoint, methods=["POST"])

    def _answered(self, answer: Answer, body: bytes, request: Request) -> Response:
        try:
            data = parse_json(body or b"{}")
        except ValueError as error:
            return JSONResponse(self._failure(f"the body is no JSON: {error}"), status_code=400)
        try:
            found = answer(fields(data, "the body"), request)
        except UserError as error:
            return JSONResponse(self._failure(str(error)), status_code=self._status)
        return found if isinstance(found, Response) else JSONResponse(found)


def fields(value: Any, what: str) -> Mapping[str, Any]:
    """Return a mapping of a request.

    Raises:
        InvalidValue: something else.
    """
    if not isinstance(value, Mapping):
        raise InvalidValue(f"{what} should be an object, and is {type(value).__name__}")
    return value


def items(value: Any, what: str, most: int = 1000) -> list[Any]:
    """Return a list of a request.

    Raises:
        InvalidValue: something else, or more than ``most``.
    """
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > most:
        raise InvalidValue(f"{what} should be a list of at most {most}")
    return value


def numbers(value: Any, count: int, what: str) -> list[float]:
    """Return so many numbers of a request.

    Raises:
        InvalidValue: something else.
    """
    try:
        found = [finite(each) for each in value] if isinstance(value, list) else []
    except ValueError:
        found = []
    if len(found) != count:
        raise InvalidValue(f"{what} should be {count} numbers, and is {value!r:.60}")
    return found
