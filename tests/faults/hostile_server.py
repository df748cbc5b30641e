"""Malformed requests to a real server: each is refused or answered, and it goes on.

Wrong are an answer of 500, none at all, one that names the server's folders, a
traceback in its log, a server that died or that grew.
"""

import contextlib
import functools
import json
import random
import re
import socket
import sys
import time
from pathlib import Path

import numpy as np
from hostile import DAMAGE, Tricks
from trials import MIB, Tally, each_in_process

sys.path.append(str(Path(__file__).resolve().parents[1]))  # of a script it is not there
from served import Served

requests = Tricks()
_WAIT = 10.0  # seconds for an answer
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_MOST_MIB = 48  # by which the server may grow, once it is warm
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")
_PATHS = (
    "/", "/scans", "/scans/{id}", "/scans/{id}/evidence", "/compare?ids={id}", "/model",
    "/static/serve.css", "/v1/scans", "/v1/scans/{id}", "/v1/scans/{id}/scan.json",
    "/v1/scans/{id}/report.html", "/v1/scans/{id}/timeline.png", "/v1/model",
    "/v1/scans/{id}/faces/0.jpg", "/v1/scans/{id}/frames/0.jpg", "/v1/scans/{id}/video",
    "/v1/openapi.json", "/health", "/ready", "/metrics",
)  # fmt: skip
_ODD = (
    "", " ", "%00", "%ff", "%c3%28", "%ed%a0%80", "..", "../../etc/passwd", "%2e%2e%2f",
    "..%2f..%2fetc%2fpasswd", "....//", "%252e%252e", "-1", "1e9", "9" * 30, "0x1",
    "%d9%a3", "%e2%91%a0", "nan", "null", "None", "<script>alert(1)</script>",
    "%3Cb%3E",
    "' OR 1=1 --", '"', "${7*7}", "{{7*7}}", "%s%s%n", "a" * 22, "A" * 3000, "\u202e",
    "C:\\x", "//evil.example/", "%0d%0aSet-Cookie:%20a=b", ";x=y", "?", "#", "*", "~",
)  # fmt: skip


def server(n, seed, folder):
    """Send n malformed requests to a server that has one finished scan."""
    with Served(
        folder, upload_bytes=MIB, allow_urls=True, queue_length=10_000
    ) as served:
        clip = _clip(folder / "clip.mp4")
        status, job = served.upload("clip.mp4", clip)
        assert status == 202, job
        known = {
            "port": served.port, "token": served.token, "id": job["id"], "clip": clip,
            "folder": str(served.folder),
        }  # fmt: skip
        assert served.scanned(job["id"])["status"] == "done"
        cases = requests.cases(n, seed)
        # What is loaded once, with what it is first asked for, is no growth.
        warm = [(name, f"warm {number}") for number in range(3) for name in requests]
        tally = _tried(known, warm) if n > len(warm) else Tally()
        before = _mib(served.process.pid)
        tally = _tried(known, cases)
        grown = _mib(served.process.pid) - before
        tally.mib = grown
        if grown > _MOST_MIB:
            tally.add(f"memory: the server grew by {grown:.0f} MiB")
        for wrong in _afterwards(served, clip):
            tally.add(wrong)
    return tally


def _tried(known, cases):
    return each_in_process(
        functools.partial(_trial, known), cases, seconds=3 * _WAIT, mib=1000
    )


def _afterwards(served, clip):
    """Return what went wrong with the server itself."""
    if served.process.poll() is not None:
        yield f"died: exit code {served.process.returncode}"
        return
    if "Traceback" in (said := served.said()):
        yield f"traceback: {said[said.index('Traceback') :][:1500]}"
    _, answer = served.ask("GET", "/metrics")
    if b"# HELP" not in answer:
        yield f"other answer: metrics: {answer[:200]}"
    end = time.monotonic() + 120
    while time.monotonic() < end:  # queues that odd uploads fill
        status, job = served.upload("clip.mp4", clip)
        if status == 202:
            break
        time.sleep(1)
    if status != 202 or served.scanned(job["id"], 300)["status"] != "done":
        yield f"lost: it scans no more: {status} {job}"


def _mib(pid):
    import psutil

    return psutil.Process(pid).memory_info().rss / MIB


def _clip(path):
    """Return a small clip that can be scanned."""
    from base_models import write_video

    draw = np.random.default_rng(0)
    frames = draw.integers(0, 256, (8, 48, 64, 3), np.uint8)
    return write_video(path, frames).read_bytes()


def _trial(known, case):
    """Send what a trick makes, and judge the answer."""
    trick, seed = case
    rng = random.Random(f"{trick} {seed}")
    made = requests[trick](rng, known)
    content, is_whole = made if isinstance(made, tuple) else (made, True)
    with contextlib.closing(
        socket.create_connection(("127.0.0.1", known["port"]), timeout=_WAIT)
    ) as line:
        with contextlib.suppress(OSError):  # it need not read all of it
            line.sendall(content)
        if not is_whole:
            line.settimeout(0.1)
        answer = _answer(line)
    return _judged(answer, is_whole, known, content)


def _answer(line):
    """Return all that comes until the server is silent or closes; None for a hang."""
    answer = b""
    try:
        while piece := line.recv(2**16):
            answer = (answer + piece).removeprefix(_GO_ON)
            if len(answer) > 2**22 or _is_complete(answer):
                break
    except TimeoutError:
        return answer or None
    except OSError:
        pass
    return answer


def _is_complete(answer):
    head, found, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if not found:
        return False
    is_empty = re.match(rb"HTTP/1.1 (204|304)", head)
    if b"chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    return bool(is_empty) or (length is not None and len(body) >= int(length[1]))


def _judged(answer, is_whole, known, content):
    shown = content[:300]
    if answer is None:
        return (
            f"hang: no answer in {_WAIT:g} s to {shown}" if is_whole else "right: waits"
        )
    if not answer:
        return "right: closed"
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    if status is None:
        return f"other answer: {answer[:200]} to {shown}"
    code = int(status[1])
    if code >= 500 and code not in (503, 507):
        return f"{code}: to {shown}: {answer[-300:]}"
    if known["folder"].encode() in answer or b"Traceback" in answer:
        return f"leak: {answer[-500:]} to {shown}"
    if known["token"].encode() in answer:
        return f"leak: the token, in {answer[-500:]} to {shown}"
    head = answer.partition(b"\r\n\r\n")[0].lower()
    is_http = b"invalid http request" not in answer.lower()
    if is_http and b"content-security-policy" not in head:
        return f"other answer: without a policy: {answer[:300]} to {shown}"
    return f"right: {code if code >= 500 else f'{code // 100}xx'}"


def _path(rng, known):
    return rng.choice(_PATHS).replace("{id}", known["id"])


def _request(known, method, path, headers=(), body=b"", length=True, token=True):
    """Return the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{known['port']}"]
    lines += [f"Authorization: Bearer {known['token']}"] if token else []
    lines += [f"{name}: {text}" for name, text in headers]
    lines += [f"Content-Length: {len(body)}"] if body and length else []
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + body


def _form(*parts, boundary=b"x"):
    """Return a form's body; parts are (header, content)."""
    body = b"".join(
        b"--" + boundary + b"\r\n" + header + b"\r\n\r\n" + content + b"\r\n"
        for header, content in parts
    )
    return body + b"--" + boundary + b"--\r\n"


def _file(name=b"a.mp4", field=b"file"):
    return b'Content-Disposition: form-data; name="%b"; filename="%b"' % (field, name)


_FORM = ("Content-Type", "multipart/form-data; boundary=x")
_JSON = ("Content-Type", "application/json")


@requests
def first_lines(rng, known):
    """Lines that are no request: other versions, methods, forms, signs."""
    path = _path(rng, known)
    return rng.choice(
        [
            f"GET {path}\r\n\r\n", f"GET {path} HTTP/0.9\r\n\r\n", "\r\n\r\n\r\n\r\n",
            f"GET {path} HTTP/9.9\r\n\r\n", f"GET {path} HTTP/1.1 x\r\nHost: a\r\n\r\n",
            f"G\x00T {path} HTTP/1.1\r\nHost: a\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            f"GET http://evil.example{path} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            f"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:{known['port']}\r\n\r\n",
            f"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1:{known['port']}\r\n\r\n",
            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "SSH-2.0-x\r\n\r\n",
            f"GET  {path} HTTP/1.1\r\n\r\n",
            f"GET {path}{'a' * 70_000} HTTP/1.1\r\n\r\n",
        ]
    ).encode("latin-1", "replace"), False  # fmt: skip


@requests
def methods_on_paths(rng, known):
    """Any method, also of one's own, on any path."""
    method = rng.choice([*_METHODS, "FOO", "get", "PROPFIND", "A" * 100])
    if method == "HEAD":  # whose answer says a length and has nothing of it
        return _request(known, method, _path(rng, known)), False
    return _request(known, method, _path(rng, known))


@requests
def odd_paths(rng, known):
    """Traversal, encodings, controls, lengths, markup: in place of parts of a path."""
    parts = _path(rng, known).split("/")
    parts[rng.randrange(1, len(parts))] = rng.choice(_ODD)
    path = "/".join(parts).replace(" ", "%20")
    return _request(known, rng.choice(["GET", "DELETE", "POST"]), path)


@requests
def odd_queries(rng, known):
    """Queries that nobody asks for, of pages that take some."""
    path = rng.choice(["/compare", "/", "/scans", "/v1/scans", _path(rng, known)])
    odd = [rng.choice(_ODD).replace(" ", "+").replace("#", "") for _ in range(3)]
    query = rng.choice(
        ["ids={}", "ids={}&ids={}", "token={}", "{}={}", "ids[]={}", "&&&=",
         "ids={0},{1}",
         "&".join(["ids=" + known["id"]] * 500), "page={}", "next={}"]
    )  # fmt: skip
    query = query.format(*odd) if "ids=" + known["id"] not in query else query
    return _request(known, "GET", f"{path.partition('?')[0]}?{query}")


@requests
def odd_headers(rng, known):
    """Headers of the wrong form, number, length or letters."""
    name, text = rng.choice(
        [("Range", "bytes=0-0,1-1,2-2"), ("Range", f"bytes={9 ** 30}-"),
         ("Range", "bytes=-0"), ("Range", "bytes=5-1"), ("Range", "lines=1"),
         ("Range", "bytes=" + ",".join(f"{i}-{i}" for i in range(2000))),
         ("Range", "bytes=--1"), ("If-Range", "\xff"), ("If-None-Match", "*"),
         ("If-Modified-Since", "yesterday"), ("Accept", "\xff/\x01"),
         ("Accept", "text/html;q=x," * 2000), ("Accept-Encoding", "gzip;q=nan"),
         ("Cookie", "=" * 3000), ("Cookie", "a; b; c=; =d; \xe9=\xe9"),
         ("Origin", "null"), ("Origin", "http://["), ("Sec-Fetch-Site", "\xff"),
         ("X-Forwarded-For", "1" * 3000), ("X-Forwarded-Host", "evil.example"),
         ("Expect", "100-continue"), ("Expect", "x"), ("Upgrade", "h2c"),
         ("Connection", "Upgrade, HTTP2-Settings"), ("Content-Type", "\xff"),
         ("Transfer-Encoding", "gzip, chunked"), ("X", "y" * 100_000),
         ("Referer", "javascript:alert(1)"), ("Host", "evil.example"), (" Host", "x"),
         ("X\x00Y", "z"), ("", "x"), ("Content-Length", "-1"), ("Content-Length",
         "1e3"),
         ("Content-Length", "9" * 40), ("Authorization", "Bearer"), ("TE", "trailers")]
    )  # fmt: skip
    content = _request(
        known, "GET", _path(rng, known), [(name, text)] * rng.choice([1, 2, 90])
    )
    is_whole = name not in ("Content-Length", "Transfer-Encoding", "X", "Connection")
    return content, is_whole


@requests
def odd_hosts_and_tokens(rng, known):
    """Names and tokens that are none, or nearly."""
    host = rng.choice(
        ["", "evil.example", "127.0.0.1@evil.example", "[", "[::1", "127.0.0.1:x",
         "\xff",
         "127.0.0.1:99999", "a" * 3000, "127.0.0.1/../", "127.0.0.1 ", "::1", "%00"]
    )  # fmt: skip
    token = rng.choice(
        [known["token"][:-1], known["token"] + "x", "", "\xff", "\x00", "a" * 5000, "é"]
    )
    shown = rng.choice(["Authorization: Bearer", "Cookie: scans-000000000000="])
    lines = [f"GET {_path(rng, known)} HTTP/1.1", f"Host: {host}", f"{shown} {token}"]
    return "\r\n".join([*lines, "", ""]).encode("utf-8"), "\x00" not in token


@requests
def lengths_that_lie(rng, known):
    """A body shorter than stated, stated in two ways (smuggling), or without end."""
    path = rng.choice(["/v1/scans", "/scans"])
    odd = rng.choice(
        [[("Content-Length", "100")], [("Content-Length", "5"), ("Content-Length",
         "6")],
         [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
         [("Transfer-Encoding", "chunked")], [("Transfer-Encoding", "x")],
         [("Content-Length", str(2**40))], [("Transfer-Encoding", "identity, chunked")]]
    )  # fmt: skip
    body = rng.choice(
        [b"", b"x", b"0\r\n\r\n", b"ffffffffffffffff\r\nx", b"-1\r\n",
         b"5\r\nabc\r\n0\r\n\r\n",
         b"zz\r\n", b"3;" + b"x" * 20_000 + b"\r\nabc\r\n", b"0\r\nX: y\r\n" * 500]
    )  # fmt: skip
    return _request(known, "POST", path, [_FORM, *odd], body, length=False), False


@requests
def forms_of_odd_parts(rng, known):
    """Parts without a name, with headers without end, too many, or none at all."""
    parts = rng.choice(
        [[], [(b"", b"x")], [(b"X: y", b"x")], [(b"Content-Disposition: form-data",
         b"x")],
         [(b"Content-Disposition: " + b"a" * 100_000, b"x")],
         [(b"\r\n".join(b"X%d: y" % i for i in range(5000)), b"x")],
         [(_file(field=b"file%d" % i), b"x") for i in range(2000)],
         [(_file(), b"x"), (_file(), b"y")], [(_file(field=b"other"), b"x")],
         [(b'Content-Disposition: form-data; name="file"', b"x" * 200_000)],
         [(b'Content-Disposition: form-data; name="file"; filename*=utf-8\'\'%ff',
          b"x")],
         [(b"Content-Disposition: form-data; name=\xff\xfe; filename=\xff", b"x")],
         [(_file() + b"\r\nContent-Transfer-Encoding: base64", b"eA==")],
         [(_file(), b"")], [(_file(b""), b"")], [(_file(), b"x" * (MIB + 1))]]
    )  # fmt: skip
    path = rng.choice(["/v1/scans", "/scans"])
    return _request(known, "POST", path, [_FORM, *_own(known)], _form(*parts))


def _own(known):
    return [("Origin", f"http://127.0.0.1:{known['port']}")]


@requests
def forms_that_are_damaged(rng, known):
    """A form that is right, with bytes changed, cut, moved or put in."""
    whole = _form((_file(), b"no video"))
    damaged = DAMAGE[rng.choice(sorted(DAMAGE))](whole, rng)
    return _request(known, "POST", "/v1/scans", [_FORM], damaged)


@requests
def odd_kinds_of_content(rng, known):
    """Content types that do not fit, or are none."""
    kind = rng.choice(
        ["", "x", "multipart/form-data", "multipart/form-data; boundary=",
         "multipart/form-data; boundary=" + "x" * 5000, "multipart/mixed; boundary=x",
         "multipart/form-data; boundary=\xff", 'multipart/form-data; boundary="x',
         "application/json; charset=utf-7", "text/plain", "application/xml",
         "a/b;" * 999,
         "application/x-www-form-urlencoded", "application/json, multipart/form-data"]
    )  # fmt: skip
    body = rng.choice([_form((_file(), b"x")), b'{"url": 1}', b"url=x", b"\xff" * 100])
    path = rng.choice(["/v1/scans", "/scans"])
    return _request(known, "POST", path, [("Content-Type", kind), *_own(known)], body)


@requests
def odd_names_of_files(rng, known):
    """Names that are paths, markup, controls, other directions, or endless."""
    name = rng.choice(
        [b"../../../etc/passwd", b"/etc/passwd", b"C:\\x\\y.mp4", b"a\x00b.mp4", b".",
         b"..",
         b"<script>alert(1)</script>.mp4", b"\xe2\x80\xaegpj.mp4", b"a" * 20_000,
         b"\xff.mp4",
         b"con.mp4", b"a\\\"b.mp4", b"%2e%2e%2fx", b"x.dfe", b"metadata.json", b".mp4",
         b"{{7*7}}.mp4", b"\xf0\x9f\x91\xbb.mp4", b" .mp4", b"a.mp4/", b"-rf"]
    )  # fmt: skip
    content = rng.choice(
        [b"x", b"\xff\xd8\xff", b"GIF89a", b"<svg/>", b"#EXTM3U\nfile:///"]
    )
    return _request(known, "POST", "/v1/scans", [_FORM], _form((_file(name), content)))


@requests
def damaged_videos(rng, known):
    """A clip with bytes changed: the answer comes before anybody decodes it."""
    damaged = DAMAGE[rng.choice(sorted(DAMAGE))](known["clip"], rng)
    return _request(known, "POST", "/v1/scans", [_FORM], _form((_file(), damaged)))


@requests
def odd_json(rng, known):
    """JSON of other types, depths, letters and sizes; and what is none."""
    body = rng.choice(
        [b"", b"{", b"null", b"[]", b"1", b'"x"', b"[" * 60_000, b'{"a":' * 10_000,
         b"NaN",
         b'{"url": null}', b'{"url": 1e999}', b'{"url": []}', b'{"url": {"url": "x"}}',
         b'{"url": "\\ud800"}', b'{"url": "\xff"}', b'{"url": ""}', b"\xef\xbb\xbf{}",
         b'{"url": "http://' + b"a" * 60_000 + b'"}',
         b'{"url": "' + b"x" * 70_000 + b'"}',
         b'{"__proto__": {}, "url": "x"}', b"9" * 5000, '{"url": "é"}'.encode("utf-16"),
         b'{"url": "x", "url": 3}', b'{"url": true, "file": "/etc/passwd"}']
    )  # fmt: skip
    return _request(known, "POST", "/v1/scans", [_JSON], body)


@requests
def odd_addresses(rng, known):
    """Addresses that no server on the internet has, or that are none."""
    url = rng.choice(
        ["file:///etc/passwd", "http://127.0.0.1:{port}/v1/model", "http://[::1]/",
         "//x",
         "http://169.254.169.254/latest/meta-data/", "http://0/", "http://2130706433/",
         "http://a:b@127.0.0.1/", "javascript:alert(1)", "http://\u2460.0.0.1/",
         "http://",
         "https://127.1:{port}/health", "http://localhost.:{port}/",
         "gopher://127.0.0.1/",
         "http://127.0.0.1:{port}/?x=\r\nHost: y", "http://" + "a." * 2000,
         "HTTP://[::ffff:7f00:1]",
         "http://127.0.0.1#@example.org/", "http://example.org\\@127.0.0.1/",
         "http://%00/",
         "http://x/?a=" + "?" * 3000, "http://x/?" + "a=http://y/?" * 300,
         "http://" + "a" * 4000]
    ).replace("{port}", str(known["port"]))  # fmt: skip
    if rng.random() < 0.5:
        return _request(
            known, "POST", "/v1/scans", [_JSON], json.dumps({"url": url}).encode()
        )
    part = (
        b'Content-Disposition: form-data; name="url"',
        url.encode("utf-8", "replace"),
    )
    return _request(known, "POST", "/scans", [_FORM, *_own(known)], _form(part))


@requests
def many_at_once(rng, known):
    """Requests one after the other on a line, without waiting for answers."""
    one = _request(known, "GET", _path(rng, known))
    return one * rng.choice([2, 20, 200]) + b"\x00", False


@requests
def damaged_requests(rng, known):
    """A whole request with bytes changed, cut, moved or put in."""
    whole = _request(known, "POST", "/v1/scans", [_FORM], _form((_file(), b"no video")))
    return DAMAGE[rng.choice(sorted(DAMAGE))](whole, rng), False


@requests
def random_bytes(rng, known):
    """No HTTP at all."""
    return rng.randbytes(rng.choice([1, 10, 1000, 100_000])), False
