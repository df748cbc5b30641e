"""Errors of the server, as JSON of one shape (RFC 9457)."""

import errno
import sqlite3
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException


class Problem(BaseModel):
    """What went wrong, for a program and for people."""

    title: str
    detail: str
    status: int


class Refused(HTTPException):
    """A request that is not done, and why.

    Parameters
    ----------
    status : int
        Of HTTP.
    detail : str
        What is wrong and what to do, for people.
    headers : mapping or None, default=None
    """

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return an error as the API gives it.

    Examples
    --------
    >>> from ensemble.serving.problems import problem
    >>> problem(404, "there is no such scan").body.decode()
    '{"title":"Not Found","detail":"there is no such scan","status":404}'
    """
    title = HTTPStatus(status).phrase
    content = Problem(title=title, detail=detail, status=status).model_dump()
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def answer_with_problems(app: FastAPI, page: Callable[..., Response]) -> None:
    """Have all errors of an application answered so, those for people with a page.

    Parameters
    ----------
    app : FastAPI
    page : function
        Gets a request, status, detail and headers.
    """

    @app.exception_handler(HTTPException)
    async def _refused(request: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        if error.status_code == 404 and not isinstance(error, Refused):
            detail = "there is no such page"
        accepts = request.headers.get("accept", "")
        if "text/html" in accepts and not request.url.path.startswith("/v1"):
            return page(request, error.status_code, detail, error.headers)
        return problem(error.status_code, detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        if all(part["loc"][0] == "path" for part in error.errors()):
            return problem(404, "there is no such scan, or it is no longer kept")
        return problem(422, _in_words(error.errors()))

    @app.exception_handler(OSError)
    @app.exception_handler(sqlite3.OperationalError)
    async def _of_the_disk(request: Request, error: Exception) -> Response:
        if not is_full_disk(error):
            raise error
        return await _refused(request, no_room())

    @app.exception_handler(Exception)
    async def _internal(request: Request, error: Exception) -> JSONResponse:
        return problem(500, "an error of the server; its log has the details")


def is_full_disk(error: BaseException) -> bool:
    """Return whether an error says that a disk has no room, or the database none.

    Examples
    --------
    >>> import errno
    >>> from ensemble.serving.problems import is_full_disk
    >>> is_full_disk(OSError(errno.ENOSPC, "")), is_full_disk(OSError(errno.EIO, ""))
    (True, False)
    """
    if isinstance(error, sqlite3.OperationalError):
        return "full" in str(error)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def no_room() -> Refused:
    """Return the error of a full disk, or of one that is as full as it may be."""
    return Refused(
        507,
        "the server's disk space is used up; delete scans that you no longer need, or "
        "come back later, when older ones were deleted",
        {"Retry-After": "60"},
    )


def _in_words(errors: Any) -> str:
    said = [
        f"{'.'.join(map(str, error['loc'][1:])) or error['loc'][0]}: {error['msg']}"
        for error in errors
    ]
    return "; ".join(said)


# For the description of the API: what each status of an error means.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": words,
        "content": {
            "application/problem+json": {"schema": Problem.model_json_schema()}
        },
    }
    for status, words in {
        400: "The request is not understood.",
        401: "The token is missing or wrong.",
        403: "The request comes from another site, or is not allowed.",
        404: "There is no such scan, or it is no longer kept.",
        409: "The scan is not done, or cannot give that.",
        413: "The file is too large.",
        415: "It is no multipart form and no JSON.",
        422: "A part of the request is missing or wrong.",
        429: "Too many requests; Retry-After says when to come back.",
        503: "Too many scans wait; Retry-After says when to come back.",
        507: "The server's disk budget is used up; Retry-After says when to come back.",
    }.items()
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of some errors, those of access among them."""
    return {status: RESPONSES[status] for status in (401, 403, 429, *statuses)}
