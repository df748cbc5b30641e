"""Lets only those reach the server who may: names, origins, token, rate and sizes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ensemble.serving.pages.bare import bare_page
from ensemble.serving.settings import POLICY

if TYPE_CHECKING:
    from ensemble.serving.settings import ServerSettings

OF_TOKEN = "token"  # the session of all who show the token with each request
_OPEN = "/health"  # needs no token
_SAFE = ("GET", "HEAD")
_ADDRESSES = 4096  # of clients whose rates are kept
_OTHER_BYTES = 2**16  # of a body that is no upload
_AROUND = 2**20  # bytes of an upload beside its file
_SILENCE = 60.0  # seconds between two pieces of a body
_PAUSE, _REST = 1.0, 30.0  # of a body that nobody wants: between pieces, and in all
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_UNLESS_SET = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
_MISSING, _WRONG = "The token is missing", "The token is wrong"
_OLD = "The token is missing, or no longer the right one"
_ASK = (
    "Open the whole address that was printed when the server was started, or give its "
    "token here. Whoever runs the server has it."
)
_ENTRY = (
    '<form action="/" method="get"><label for="token">Token</label> <input id="token" '
    'name="token" type="password" autocomplete="off" required> '
    "<button>Go on</button></form>"
)


class Refused(Exception):
    """A request is answered with a refusal.

    Parameters
    ----------
    status : int
    title, detail : str
        Words of ours: nothing that a stranger sent.
    **headers : str
        ``Retry_After="3"`` is ``Retry-After: 3``.
    """

    def __init__(self, status: int, title: str, detail: str, **headers: str) -> None:
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}


class Guard:
    """Refuse what may not reach an application, and bound what may.

    Browsers: a page elsewhere gets nothing, whatever it knows, and neither does one
    under a name that was turned to this server (DNS rebinding). All but ``/health``
    needs the token: ``Authorization: Bearer TOKEN`` with each request, or once
    ``/?token=TOKEN``, which gives a browser a cookie of its own and shows ``/``. Bodies
    are as large as is allowed and do not stall, and work is not asked for too often.

    What it lets through finds the session in ``scope["state"]["session"]``: `OF_TOKEN`,
    or that of the cookie.

    Parameters
    ----------
    app : ASGI application
        Its answers get headers that keep a browser from running or sharing anything
        else; one that sets ``Content-Security-Policy`` or ``Cache-Control`` keeps it.
    settings : ServerSettings
    clock : function, default=time.monotonic
        Seconds, for the rate.

    Examples
    --------
    >>> from starlette.applications import Starlette
    >>> from ensemble.serving.guard import Guard
    >>> from ensemble.serving.settings import ServerSettings
    >>> app = Guard(Starlette(), ServerSettings())
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServerSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._token = settings.token.encode()
        self._hosts = _known_names(settings)
        self._is_local = settings.is_local
        self._upload_bytes, self._disk_bytes = (
            settings.upload_bytes,
            settings.disk_bytes,
        )
        self._rates = _Rates(settings.scans_per_minute, clock)
        # Servers on one machine share a browser's cookies, whatever their ports.
        self._cookie = f"scans-{self._signed('name of the cookie')[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(scope, receive, _with_headers(send))

    async def _answer(self, scope, receive, send):
        body = _Body(scope, receive)
        answer = None
        try:
            answer = self._checked(HTTPConnection(scope))
            if answer is None:
                body.most = self._most_bytes(scope)
                await self._app(scope, body.receive, body.unless_refused(send))
        except Refused as refused:
            answer = _refusal(scope, refused)
            if refused.status in (413, 429):
                await body.drain()
        except Exception:
            if body.refused is None:
                raise
        if body.refused is not None and not body.is_answered:
            answer = _refusal(scope, body.refused)
            await body.drain()
        if answer is not None:
            await answer(scope, receive, send)

    def _checked(self, request):
        """Return an answer of its own, or None to go on; raise Refused."""
        if {"content-length", "transfer-encoding"} <= set(request.headers.keys()):
            raise Refused(  # a proxy may take the one, we the other
                400, "Not clear", "The request has two lengths.", Connection="close"
            )
        host = self._host(request.headers)
        is_own = _is_own_page(request.headers, host)
        may_show = is_own or _is_opened(request)
        if not may_show:
            raise Refused(403, "Not from here", "Another page may not use this server.")
        if request.url.path == _OPEN and request.scope["method"] in _SAFE:
            return None
        if "authorization" in request.headers:
            session = self._of_token(request)
        elif request.url.path == "/" and "token" in request.query_params:
            return self._first_visit(request, is_own)
        else:
            session = self._of_cookie(request, host)
        if request.scope["method"] == "POST":
            self._count(request)
        request.scope.setdefault("state", {})["session"] = session
        return None

    def _host(self, headers):
        """Return the name by which the server was called, which must be one of its."""
        named = headers.getlist("host")
        host = named[0].lower() if len(named) == 1 else ""
        name = _name_of(host)
        if name in self._hosts or (not self._is_local and _is_number(name)):
            return host
        raise Refused(
            421,
            "Not the name of this server",
            "It was called by a name that it does not know. Use the address that was "
            "printed when it was started, or allow the name there.",
        )

    def _of_token(self, request):
        kind, _, token = request.headers["authorization"].partition(" ")
        if kind.lower() != "bearer" or not self._is_token(token.strip()):
            raise _unknown(_WRONG)
        return OF_TOKEN

    def _first_visit(self, request, is_own):
        """Give a browser that shows the token a cookie, and the address without it."""
        if request.scope["method"] not in _SAFE:
            raise _unknown()
        token = request.query_params["token"]
        if not self._is_token(token):
            raise _unknown(_WRONG if token else _MISSING)
        if is_own:
            answer = RedirectResponse("/", 303)
        else:  # after a redirect from elsewhere the browser would keep the cookie back
            answer = bare_page(
                200, "Scans", "One moment.", '<meta http-equiv="refresh" content="0;/">'
            )
        if self._session(request) is None:
            session = secrets.token_urlsafe(16)
            answer.set_cookie(
                self._cookie,
                f"{session}.{self._signed(session)}",
                path="/",
                httponly=True,
                samesite="strict",
                secure=_is_encrypted(request),
            )
        return answer

    def _of_cookie(self, request, host):
        session = self._session(request)
        if session is None:
            is_old = any(name.startswith("scans-") for name in request.cookies)
            raise _unknown(_OLD if is_old else _MISSING)
        if request.scope["method"] not in _SAFE and not (
            "origin" in request.headers
            or request.headers.get("sec-fetch-site") == "same-origin"
        ):
            raise Refused(
                403,
                "Not from here",
                "The browser does not say which page asks for this. Use a newer one, "
                "or the token.",
            )
        return session

    def _session(self, request):
        """Return the session of a request's cookie, or None."""
        session, _, signature = request.cookies.get(self._cookie, "").partition(".")
        if _are_equal(signature, self._signed(session)):
            return session
        return None

    def _is_token(self, text):
        return _are_equal(text, self._token)

    def _signed(self, text):
        return hmac.digest(self._token, text.encode(), hashlib.sha256).hex()

    def _count(self, request):
        wait = self._rates.wait(request.client.host if request.client else "")
        if wait:
            raise Refused(
                429,
                "Too many at once",
                "More was asked for than is allowed in a minute. Try again later.",
                Retry_After=str(int(wait) + 1),
            )

    def _most_bytes(self, scope):
        """Return how large a body may be; refuse one that says it is larger."""
        headers = Headers(scope=scope)
        most = _OTHER_BYTES
        if headers.get("content-type", "").lower().startswith("multipart/"):
            is_one_file = scope["path"].startswith("/v1/")
            most = _AROUND + (self._upload_bytes if is_one_file else self._disk_bytes)
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > most:
            raise _too_large(most)
        return most


class _Body:
    """A body as it comes, until it is too large or stalls."""

    def __init__(self, scope, receive):
        headers = Headers(scope=scope)
        self._is_whole = not (
            "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        )
        self._waits = "expect" in headers  # the client, for a word to go on
        self._receive, self._n_bytes = receive, 0
        self.most = 0
        self.refused: Refused | None = None
        self.is_answered = False

    async def receive(self) -> Message:
        """Return the next piece, or that the client has gone."""
        if self.refused is not None:
            return {"type": "http.disconnect"}
        if self._is_whole:  # of who waits for the client to go
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._next(), _SILENCE)
        except (TimeoutError, asyncio.TimeoutError):
            self.refused = Refused(
                408, "Too slow", f"Nothing came for {_SILENCE:g} seconds."
            )
            return {"type": "http.disconnect"}
        self._n_bytes += len(message.get("body", b""))
        if self._n_bytes > self.most:
            self.refused = _too_large(self.most)
            return {"type": "http.disconnect"}
        return message

    async def _next(self):
        self._waits = False
        message = await self._receive()
        self._is_whole = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Take the rest in and drop it: who still sends does not see an answer."""
        end = time.monotonic() + _REST
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            while not (self._is_whole or self._waits) and time.monotonic() < end:
                await asyncio.wait_for(self._next(), _PAUSE)

    def unless_refused(self, send: Send) -> Send:
        """Return what sends an answer, but for one to a body that was refused."""

        async def sent(message: Message) -> None:
            if not self.is_answered and self.refused is None:
                await self.drain()
                self.is_answered = True
            if self.is_answered:
                await send(message)

        return sent


class _Rates:
    """How often each client asks: so many a minute, in one go or evenly."""

    def __init__(self, a_minute, clock):
        self._most, self._clock = a_minute, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address):
        """Count a request; return for how many seconds it comes too early."""
        now, client = self._clock(), _network(address)
        left, before = self._left.pop(client, (self._most, now))
        left = min(self._most, left + (now - before) * self._most / 60)
        is_early = left < 1
        self._left[client] = (left if is_early else left - 1), now
        if len(self._left) > _ADDRESSES:
            self._left.popitem(last=False)
        return (1 - left) * 60 / self._most if is_early else 0


def _known_names(settings):
    names = {"localhost", "127.0.0.1", "[::1]", settings.host, *settings.allowed_hosts}
    if not settings.is_local:
        names |= {socket.gethostname(), socket.getfqdn()}
    return {_bracketed(name.lower()) for name in names}


def _bracketed(name):
    return f"[{name}]" if ":" in name and not name.startswith("[") else name


def _name_of(host):
    """Return the name or number of a Host header, or "" where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 (looks at it)
    except ValueError:
        return ""
    if parts.netloc != host or "@" in host or parts.hostname is None:
        return ""
    return _bracketed(parts.hostname)


def _is_number(name):
    """Whether a name is an address by number, which no other site can turn to us."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_own_page(headers, host):
    """Whether a request is of one of our pages, of no browser, or typed by a person."""
    origins = headers.getlist("origin")
    is_ours = [
        origin.lower() in (f"http://{host}", f"https://{host}") for origin in origins
    ]
    site = headers.get("sec-fetch-site", "none")
    return all(is_ours) and site in ("none", "same-origin")


def _is_opened(request):
    """Whether a link elsewhere opens a page, of which that other page sees nothing."""
    headers = request.headers
    return (
        request.scope["method"] in _SAFE
        and "origin" not in headers
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _network(address):
    """Return whom an address belongs to: of IPv6, who has the first 64 bits."""
    try:
        numeric = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(int(numeric) >> 64 << 64) if numeric.version == 6 else address


def _are_equal(one, other):
    """Compare in a time that tells nothing of what is in them."""
    one, other = (
        text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        for text in (one, other)
    )
    return hmac.compare_digest(one, other)


def _unknown(title=None):
    return Refused(
        401,
        title or _MISSING,
        "Open the address that was printed when the server was started, which has the "
        "token, or send it along: Authorization: Bearer TOKEN.",
        WWW_Authenticate="Bearer",
    )


def _too_large(most):
    return Refused(
        413,
        "Too large",
        f"A body of at most {most:,} bytes is taken.",
        Connection="close",
    )


def _refusal(scope, refused):
    accepts = Headers(scope=scope).get("accept", "")
    if "text/html" in accepts and not scope["path"].startswith("/v1"):
        is_entry = refused.status == 401
        answer = bare_page(
            refused.status,
            refused.title,
            _ASK if is_entry else refused.detail,
            more=_ENTRY if is_entry else "",
        )
    else:
        answer = JSONResponse(
            {
                "title": refused.title,
                "detail": refused.detail,
                "status": refused.status,
            },
            refused.status,
            media_type="application/problem+json",
        )
    answer.headers.update(refused.headers)
    return answer


def _is_encrypted(request):
    """Whether a browser came by https, to us or to a proxy before us.

    Who lies about the proxy keeps the cookie to https for himself alone.
    """
    said = request.headers.get("x-forwarded-proto", "").strip().lower()
    return request.url.scheme == "https" or said == "https"


def _with_headers(send):
    async def sent(message):
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            for name, text in _UNLESS_SET.items():
                headers.setdefault(name, text)
        await send(message)

    return sent
