"""Who may reach a server, and how much may be sent: asked by HTTP and in a browser."""

import base64
import contextlib
import hashlib
import http.client
import json
import re
import socket
import threading
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
from starlette.applications import Starlette  # noqa: E402
from starlette.responses import PlainTextResponse, Response  # noqa: E402
from starlette.routing import Route  # noqa: E402

from ensemble.serving import guard  # noqa: E402
from ensemble.serving.guard import Guard  # noqa: E402

TOKEN = "a-token_of-32-bytes~more.or-less"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def _session(request):
    return PlainTextResponse(request.state.session)


async def _size(request):
    n_bytes = 0
    async for piece in request.stream():
        n_bytes += len(piece)
    return PlainTextResponse(f"{n_bytes} of {request.state.session}")


async def _swallowing(request):
    """Answer whatever becomes of the body, as frameworks do."""
    with contextlib.suppress(Exception):
        await request.body()
    return PlainTextResponse("fine", 400)


async def _early(request):
    return PlainTextResponse("no room", 503)


async def _healthy(request):
    return PlainTextResponse("ok")


async def _own_headers(request):
    own = {"Content-Security-Policy": "sandbox", "Cache-Control": "private"}
    return Response("own", headers=own)


ROUTES = [
    Route("/", _session),
    Route("/scans", _session),
    Route("/v1/scans", _size, methods=["POST", "DELETE"]),
    Route("/swallowing", _swallowing, methods=["POST"]),
    Route("/early", _early, methods=["POST"]),
    Route("/health", _healthy, methods=["GET", "POST"]),
    Route("/own", _own_headers),
]


class Server:
    """A real server behind a guard."""

    def __init__(self, **changed):
        settings = SimpleNamespace(
            **{"host": "127.0.0.1", "is_local": True, "token": TOKEN,
               "allowed_hosts": (), "upload_bytes": 1000, "disk_bytes": 5000,
               "scans_per_minute": 10_000,
               **changed}
        )  # fmt: skip
        self.token = settings.token
        self.guard = Guard(Starlette(routes=ROUTES), settings)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        config = uvicorn.Config(self.guard, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()

    def ask(self, method, path, headers=(), body=None, hosts=None):
        """Return status, headers and text of an answer."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        ) as line:
            line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for host in [self.host] if hosts is None else hosts:
                line.putheader("Host", host)
            for name, text in dict(headers).items():
                line.putheader(name, text)
            if body is not None:
                line.putheader("Content-Length", str(len(body)))
            line.endheaders(body)
            answer = line.getresponse()
            return answer.status, answer.headers, answer.read().decode()

    def status(self, *args, **kwargs):
        return self.ask(*args, **kwargs)[0]

    def cookie(self):
        """Return the cookie of a browser that opened the printed address."""
        _, headers, _ = self.ask("GET", f"/?token={self.token}")
        return {"Cookie": headers["Set-Cookie"].partition(";")[0]}

    def stop(self):
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.stop()


@contextlib.contextmanager
def serving(**changed):
    server = Server(**changed)
    try:
        yield server
    finally:
        server.stop()


def test_without_the_token_nothing_but_health_is_answered(server):
    assert server.ask("GET", "/health")[2] == "ok"
    for method, path in [
        ("GET", "/"), ("GET", "/scans"), ("GET", "/nothing"), ("POST", "/v1/scans"),
        ("OPTIONS", "/v1/scans"), ("POST", "/health"), ("GET", "/health/"),
        ("GET", "/?token="), ("GET", "/?token=x"), ("GET", f"/scans?token={TOKEN[:5]}"),
    ]:  # fmt: skip
        status, headers, text = server.ask(method, path)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer"), path
        assert json.loads(text)["status"] == 401
        assert headers["Content-Type"] == "application/problem+json"
        assert "Set-Cookie" not in headers


@pytest.mark.parametrize(
    "text",
    [f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", "Bearer ", TOKEN,
     f"Basic {TOKEN}", "Bearer \xe9", "", f"Bearer {TOKEN.upper()}"],
)  # fmt: skip
def test_another_token_is_refused(server, text):
    assert server.status("GET", "/scans", {"Authorization": text}) == 401


def test_the_token_opens_the_api_to_who_is_no_browser(server):
    assert server.ask("GET", "/scans", BEARER)[2] == guard.OF_TOKEN
    asked = server.ask("POST", "/v1/scans", BEARER, b"123")
    assert asked[0] == 200
    assert asked[2] == f"3 of {guard.OF_TOKEN}"
    assert server.status("DELETE", "/v1/scans", BEARER) == 200


def test_a_first_visit_gives_a_cookie_and_hides_the_token(server):
    path = f"/?token={TOKEN}"
    status, headers, _ = server.ask("GET", path)
    assert (status, headers["Location"]) == (303, "/")
    cookie = headers["Set-Cookie"].lower()
    for part in ("httponly", "samesite=strict", "path=/"):
        assert part in cookie.split("; ")
    assert TOKEN not in headers["Set-Cookie"]
    mine = {"Cookie": headers["Set-Cookie"].partition(";")[0]}
    session = server.ask("GET", "/", mine)[2]
    assert len(session) == 22
    assert server.ask("GET", "/", server.cookie())[2] != session  # another browser
    status, headers, _ = server.ask("GET", path, mine)
    assert status == 303
    assert "Set-Cookie" not in headers  # it keeps its session


def test_a_cookie_of_ones_own_making_is_none(server):
    name, _, value = server.cookie()["Cookie"].partition("=")
    session, _, signature = value.partition(".")
    for made in (
        session, f"{session}.", f"{session}.{'0' * 64}", f"x{session}.{signature}", "",
        ".", f".{signature}", f"{session}.\xe9", f"{session}.{signature[:-1]}",
    ):  # fmt: skip
        assert server.status("GET", "/", {"Cookie": f"{name}={made}"}) == 401
    with serving(token="another") as other:
        cookie = {"Cookie": f"{other.cookie()['Cookie'].partition('=')[0]}={value}"}
        assert other.status("GET", "/", cookie) == 401


def test_a_page_elsewhere_gets_nothing_whatever_it_knows(server):
    own = f"http://{server.host}"
    for known in (BEARER, server.cookie()):
        for origin in (
            "http://evil.example", "null", "", f"http://127.0.0.1:{server.port + 1}",
            f"http://localhost:{server.port}", "http://127.0.0.1", f"{own}/",
            f"{own}.evil.example", f"ftp://{server.host}", "file://",
        ):  # fmt: skip
            for method in ("GET", "POST", "DELETE", "OPTIONS", "PUT"):
                asked = {**known, "Origin": origin}
                assert server.status(method, "/v1/scans", asked) == 403
        for site in ("cross-site", "same-site", "nonsense", ""):
            for path in ("/", "/scans", "/health"):
                assert server.status("GET", path, {"Sec-Fetch-Site": site}) == 403
            for more in (
                {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
                {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
                {"Sec-Fetch-Mode": "navigate"},
            ):
                asked = {**known, "Sec-Fetch-Site": site, **more}
                assert server.status("GET", "/scans", asked) == 403
            opened = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
            asked = {**known, "Sec-Fetch-Site": site, **opened}
            assert server.status("POST", "/v1/scans", asked) == 403
            assert server.status("GET", "/scans", asked) == 200  # a person sees it


def test_a_page_of_ours_is_served(server):
    cookie, own = server.cookie(), f"http://{server.host}"
    for asked in (
        {"Origin": own},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": own, "Sec-Fetch-Site": "same-origin"},
        {"Origin": f"https://{server.host}"},  # behind a proxy with TLS
    ):
        assert server.status("POST", "/v1/scans", {**cookie, **asked}, b"") == 200
    assert server.status("GET", "/scans", cookie) == 200
    assert server.status("GET", "/scans", {**cookie, "Sec-Fetch-Site": "none"}) == 200
    # Without a word of where it comes from a browser changes nothing.
    assert server.status("POST", "/v1/scans", cookie, b"") == 403
    asked = {**cookie, "Sec-Fetch-Site": "none"}
    assert server.status("POST", "/v1/scans", asked, b"") == 403


def test_a_link_elsewhere_that_has_the_token_opens_the_page(server):
    """By way of a page of ours: browsers keep strict cookies back after a redirect."""
    path = f"/?token={TOKEN}"
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    status, headers, text = server.ask(
        "GET", path, {**followed, "Sec-Fetch-Dest": "document"}
    )
    assert status == 200
    assert 'http-equiv="refresh" content="0;/"' in text
    assert "Set-Cookie" in headers
    assert TOKEN not in text


@pytest.mark.parametrize(
    "hosts",
    [[], [""], ["evil.example"], ["evil.example:{port}"], ["127.0.0.1.evil.example"],
     ["localhost.evil.example"], ["127.0.0.1", "evil.example"], ["a@127.0.0.1"],
     ["127.0.0.1", "127.0.0.1"], ["127.0.0.1:99999"], ["127.0.0.1/x"], ["127.0.0.1#"],
     ["[::1"], ["::1"], ["192.168.1.5"], ["0.0.0.0"], ["127.0.0.1:x"], ["\xe9"]],
)  # fmt: skip
def test_a_name_that_was_turned_to_this_machine_is_refused(server, hosts):
    hosts = [host.format(port=server.port) for host in hosts]
    status = server.status("GET", "/scans", BEARER, hosts=hosts)
    assert status in (421, 400)  # 400 where the HTTP server refuses it before us
    assert status == 421 or len(hosts) != 1 or not hosts[0].isascii()
    assert server.status("GET", "/health", hosts=hosts) in (421, 400)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost", "[::1]"])
def test_the_names_of_this_machine_are_its_own(server, host):
    for name in (host, f"{host}:{server.port}", f"{host}:80"):
        assert server.status("GET", "/scans", BEARER, hosts=[name]) == 200


def test_beyond_this_machine_numbers_and_allowed_names_are_its_own():
    with serving(is_local=False, host="0.0.0.0", allowed_hosts=("Desk.example",)) as s:
        for host in ("192.168.1.5:80", "desk.example", "localhost", "[fd00::1]:80"):
            assert s.status("GET", "/scans", BEARER, hosts=[host]) == 200
        for host in ("evil.example", "desk.example.evil.example", "1.2.3.4.example"):
            assert s.status("GET", "/scans", BEARER, hosts=[host]) == 421


def test_every_answer_forbids_browsers_what_is_not_needed(server):
    for path, known in (("/scans", BEARER), ("/nothing", BEARER), ("/scans", {})):
        _, headers, _ = server.ask("GET", path, known)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert not [name for name in headers if name.startswith("Access-Control")]
    _, headers, _ = server.ask("GET", "/own", BEARER)
    assert headers.get_all("Content-Security-Policy") == ["sandbox"]
    assert headers.get_all("Cache-Control") == ["private"]
    assert headers["X-Frame-Options"] == "DENY"


def test_people_read_a_page_and_programs_json(server):
    person = {"Accept": "text/html,application/xhtml+xml"}
    status, headers, text = server.ask("GET", "/scans", person)
    assert status == 401
    assert headers["Content-Type"].startswith("text/html")
    assert "<h1>The token is missing</h1>" in text
    assert "Bearer" not in text
    assert '<form action="/" method="get">' in text
    style = re.search("<style>(.*?)</style>", text)[1].encode()
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in headers["Content-Security-Policy"]
    _, _, text = server.ask("GET", "/?token=another", person)
    assert "<h1>The token is wrong</h1>" in text
    _, _, text = server.ask("GET", "/", {**person, "Cookie": "scans-0=of.before"})
    assert "or no longer the right one" in text
    assert json.loads(server.ask("GET", "/v1/scans", person)[2])["status"] == 401


UPLOAD = {**BEARER, "Content-Type": "multipart/form-data; boundary=x"}


def test_a_body_is_as_large_as_is_allowed(server):
    most = 1000 + 2**20
    assert server.ask("POST", "/v1/scans", UPLOAD, bytes(most))[0] == 200
    status, _, text = server.ask("POST", "/v1/scans", UPLOAD, bytes(most + 1))
    assert status == 413
    assert f"{most:,} bytes" in json.loads(text)["detail"]
    assert server.ask("POST", "/early", UPLOAD, bytes(most + 4000))[0] == 503  # a page
    assert server.ask("POST", "/early", UPLOAD, bytes(most + 4001))[0] == 413
    assert server.ask("POST", "/v1/scans", BEARER, bytes(2**16))[0] == 200
    assert server.ask("POST", "/v1/scans", BEARER, bytes(2**16 + 1))[0] == 413
    for length in ("9" * 30, "1e9", "-1"):
        asked = {**BEARER, "Content-Length": length}
        assert server.status("POST", "/v1/scans", asked) in (400, 413)


@pytest.mark.parametrize("path", ["/v1/scans", "/swallowing"])
def test_what_says_nothing_of_its_size_is_stopped_where_it_is_too_much(
    server, path, monkeypatch
):
    monkeypatch.setattr(guard, "_PAUSE", 0.1)
    asked = {**BEARER, "Transfer-Encoding": "chunked"}
    chunks = b"4000\r\n" + bytes(2**14) + b"\r\n"
    with contextlib.closing(socket.create_connection(("127.0.0.1", server.port))) as s:
        head = "".join(f"{name}: {text}\r\n" for name, text in asked.items())
        s.sendall(f"POST {path} HTTP/1.1\r\nHost: {server.host}\r\n{head}\r\n".encode())
        with contextlib.suppress(OSError):
            for _ in range(6):
                s.sendall(chunks)
                time.sleep(0.01)
        assert s.recv(2**16).startswith(b"HTTP/1.1 413 ")


def test_who_still_sends_sees_the_answer(server):
    large = bytes(2**23)
    assert server.ask("POST", "/early", UPLOAD, large[: 2**20])[0] == 503
    assert server.ask("POST", "/v1/scans", BEARER, large)[0] == 413
    with serving(scans_per_minute=1, upload_bytes=2**24) as strict:
        answers = [strict.ask("POST", "/v1/scans", UPLOAD, large) for _ in range(2)]
        assert [status for status, *_ in answers] == [200, 429]


def test_who_waits_before_it_sends_is_answered_at_once(server):
    asked = {**BEARER, "Content-Length": "9999999", "Expect": "100-continue"}
    assert server.status("POST", "/v1/scans", asked) == 413
    asked["Content-Length"] = "9"
    assert server.status("POST", "/early", asked) == 503


def test_a_body_that_stalls_is_given_up(server, monkeypatch):
    monkeypatch.setattr(guard, "_SILENCE", 0.1)
    monkeypatch.setattr(guard, "_PAUSE", 0.1)
    for path in ("/v1/scans", "/swallowing"):
        with contextlib.closing(
            socket.create_connection(("127.0.0.1", server.port), timeout=5)
        ) as line:
            line.sendall(
                f"POST {path} HTTP/1.1\r\nHost: {server.host}\r\nContent-Length: 9\r\n"
                f"Authorization: Bearer {TOKEN}\r\n\r\nx".encode()
            )
            assert line.recv(2**16).startswith(b"HTTP/1.1 408 ")


def test_so_many_a_minute_in_one_go_or_evenly():
    now = [0.0]
    rates = guard._Rates(30, lambda: now[0])
    assert [rates.wait("a") for _ in range(30)] == [0] * 30
    assert rates.wait("a") == pytest.approx(2)
    assert rates.wait("b") == 0
    now[0] = 1.0
    assert rates.wait("a") == pytest.approx(1)
    now[0] = 2.001
    assert rates.wait("a") == 0
    assert rates.wait("a") > 0
    for number in range(10_000):
        rates.wait(f"10.0.{number >> 8}.{number & 255}")
    assert len(rates._left) == 4096


def test_who_has_a_network_of_ipv6_is_one_client():
    rates = guard._Rates(1, lambda: 0.0)
    assert rates.wait("2001:db8::1") == 0
    assert rates.wait("2001:db8::2:3%eth0") > 0
    assert rates.wait("2001:db8:0:1::1") == 0


def test_too_many_scans_are_refused_with_a_time_to_come_back():
    with serving(scans_per_minute=2) as server:
        asked = [server.ask("POST", "/v1/scans", BEARER, b"") for _ in range(3)]
        assert [status for status, *_ in asked] == [200, 200, 429]
        assert 1 <= int(asked[2][1]["Retry-After"]) <= 31
        assert server.status("GET", "/scans", BEARER) == 200
        assert server.status("DELETE", "/v1/scans", BEARER) == 200


def test_what_opens_a_line_for_messages_is_refused(server):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    upgrade |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", **BEARER}
    upgrade["Sec-WebSocket-Version"] = "13"
    assert server.status("GET", "/v1/scans", upgrade) in (403, 405)
    assert re.fullmatch("scans-[0-9a-f]{12}", server.guard._cookie)
