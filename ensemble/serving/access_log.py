"""A line a request: when, method, path, status, seconds; never what is secret in it."""

import logging
import os
import re
import time
from collections import Counter
from datetime import datetime, timezone
from urllib.parse import unquote

from h11 import LocalProtocolError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGGER = "ensemble.serving.access_log"  # who wants the lines gives it a handler
_MOST_PATH = 200  # characters
_LINE = re.compile(  # as `AccessLog` writes it
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
    rb"[^ ]{1,20} [^\n]{1,300} (\d{3}|-) \d+\.\d{3}\r?\n"
)
_log = logging.getLogger(LOGGER)


def is_log(path: str | os.PathLike) -> bool:
    """Whether a file is empty, or begins with the line of a request.

    Parameters
    ----------
    path : str or Path

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from ensemble.serving.access_log import is_log
    >>> path = pathlib.Path(tempfile.mkdtemp(), "access.log")
    >>> for text in ("", "2026-11-30T00:31:07Z GET /scans 200 0.012\\n", "video\\n"):
    ...     _ = path.write_text(text)
    ...     print(is_log(path))
    True
    True
    False
    """
    with open(path, "rb") as file:
        begins = file.read(1000)
    return not begins or _LINE.match(begins) is not None


class AccessLog:
    """Note each request and how it was answered, the refused ones, too.

    Queries are left out, as one of them has the token, and so are names of files, which
    are in bodies alone.

    Parameters
    ----------
    app : ASGI application
    token : str
        Is hidden where somebody puts it into a path.
    counted : Counter
        Gets how many answers had which status; 0 of who left before there was one.

    Examples
    --------
    >>> from collections import Counter
    >>> from starlette.applications import Starlette
    >>> from ensemble.serving.access_log import AccessLog
    >>> app = AccessLog(Starlette(), "secret", Counter())
    """

    def __init__(self, app: ASGIApp, token: str, counted: Counter) -> None:
        self._app, self._token, self._counted = app, token, counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status, is_over = time.monotonic(), 0, False

        async def sent(message: Message) -> None:
            nonlocal status, is_over
            if is_over:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
            try:
                await send(message)
            except LocalProtocolError:  # what followed was no HTTP: uvicorn said so
                status, is_over = 400, True

        try:
            await self._app(scope, receive, sent)
        except Exception:
            status = status or 500
            raise
        finally:
            self._counted[status] += 1
            seconds = time.monotonic() - begin
            now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            method = scope["method"][:20]
            _log.info(
                "%s %s %s %s %.3f",
                now,
                method,
                self._path(scope),
                status or "-",
                seconds,
            )

    def _path(self, scope):
        raw = scope.get("raw_path") or scope["path"].encode()
        path = re.sub(r"[^!-~]", "?", raw.partition(b"?")[0].decode("latin-1"))
        if self._token in path or self._token in unquote(path):
            return "(hidden: it has the token)"
        return path if len(path) <= _MOST_PATH else f"{path[:_MOST_PATH]}..."
