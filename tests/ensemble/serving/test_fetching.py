"""Fetching what strangers name: from real servers on one loopback address."""

import contextlib
import datetime
import io
import ipaddress
import pickle
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ensemble.serving import fetching
from ensemble.serving.fetching import FetchError, fetch, is_public

pytest.importorskip("aiohttp")
HERE = "127.0.0.1"


class Server:
    """What a server answers, path by path, and what it was asked."""

    def __init__(self):
        self.answers, self.asked, self.port = {}, [], 0

    def at(self, path, host=HERE, scheme="http"):
        return f"{scheme}://{host}:{self.port}{path}"

    def has(self, path, content=b"", status=200, **headers):
        """Answer with content, or with what a function of the handler sends."""
        self.answers[path] = content, status, headers
        return self.at(path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.known.asked.append((self.path, dict(self.headers)))
        answers = self.server.known.answers
        content, status, headers = answers.get(self.path, (b"", 404, {}))
        self.close_connection = True
        with contextlib.suppress(OSError):  # who asked has gone
            if callable(content):
                content(self)
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_):
        pass


class _Listening(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


@contextlib.contextmanager
def _serving(context=None):
    listening = _Listening((HERE, 0), _Handler)
    listening.known = Server()
    listening.known.port = listening.server_address[1]
    if context is not None:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield listening.known
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture(scope="module")
def _server():
    with _serving() as known:
        yield known


@pytest.fixture
def server(_server):
    _server.answers, _server.asked = {}, []
    return _server


class Names(dict):
    """Host -> its addresses."""

    def __init__(self):
        super().__init__()
        self.asked = []


@pytest.fixture
def names(monkeypatch):
    """What hosts resolve to; 127.0.0.1 is allowed, and it alone."""

    known, real = Names(), socket.getaddrinfo

    def look_up(host, port, *args, **kwargs):
        host = host.decode() if isinstance(host, bytes) else host
        known.asked.append(host)
        found = []
        for address in known.get(host, [host]):
            found += real(address, port, *args, **kwargs)
        return found

    allowed = fetching.is_public
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(fetching, "is_public", lambda a: a == HERE or allowed(a))
    return known


def _fetched(url, most_bytes=2**20, seconds=5):
    file = io.BytesIO()
    name = fetch(url, file, most_bytes=most_bytes, seconds=seconds)
    return name, file.getvalue()


def _refused(url, **limits):
    with pytest.raises(FetchError) as refused:
        _fetched(url, **limits)
    return refused.value.reason


NOT_PUBLIC = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255
127.0.0.1 127.255.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1
192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
239.1.1.1 168.63.129.16 240.0.0.1
255.255.255.255 :: ::1 ::1.1.1.1 ::ffff:127.0.0.1 ::ffff:1.1.1.1
::ffff:0:1.1.1.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::a00:1 64:ff9b:1::101:101
100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1
2001:db8::1 2002:7f00:1:: 2002:101:101:: 3fff::1 5f00::1 fc00::1 fd12:3456::1 fe80::1
fe80::1%eth0 2606:4700::1111%eth0 fec0::1 ff02::1 ff0e::1 127.1 2130706433 0x7f000001
localhost
"""
PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0
172.15.255.255 172.32.0.0 192.0.1.0 198.17.255.255 198.20.0.0 223.255.255.255
2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450:4001::200e 64:ff9b::101:101
"""


def test_addresses_of_the_public_internet_are_told_from_all_others():
    assert [address for address in NOT_PUBLIC.split() if is_public(address)] == []
    assert [address for address in PUBLIC.split() if not is_public(address)] == []


def test_a_file_comes_as_its_server_sends_it(server, names):
    names["clips.example"] = [HERE]
    content = bytes(range(256)) * 1000
    server.has("/a/b%20c.mp4?take=2", content)
    name, got = _fetched(server.at("/a/b%20c.mp4?take=2", "clips.example"))
    assert (name, got) == ("b c.mp4", content)
    ((_, headers),) = server.asked
    assert headers["Host"] == f"clips.example:{server.port}"
    assert headers["Accept-Encoding"] == "identity"
    assert not {"Cookie", "Authorization", "Referer"} & set(headers)
    assert names.asked == ["clips.example"]  # once


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ('attachment; filename="clip.mp4"', "clip.mp4"),
        ("attachment; filename*=utf-8''%e2%82%ac.mp4", "\u20ac.mp4"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\x\\\\y.mp4"', "y.mp4"),
        ("attachment; filename*=utf-8''%e2%80%aegpj%0a.mp4", r"\u202egpj\n.mp4"),
        ('attachment; filename="<b>.mp4"', "<b>.mp4"),
        (f'attachment; filename="{"a" * 999}"', "a" * 200),
        ('attachment; filename="', '"'),
        ("nonsense;;;=", "download"),
        ("attachment; filename*=idna'x'y%e2", "download"),
        ('attachment; filename="/"', "download"),
        ('attachment; filename=".."', "download"),
    ],
)
def test_a_name_is_text_and_never_a_path(server, names, stated, name):
    server.has("/download", b"x", Content_Disposition=stated)
    assert _fetched(server.at("/download"))[0] == name


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "[::1]",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "0", "localhost", "LOCALHOST.",
     "127.0.0.1.", "169.254.169.254", "no-such-host.invalid",
     "\u2460\u2461\u2466.0.0.1"],
)  # fmt: skip
def test_this_machine_and_its_network_are_out_of_reach(server, host):
    server.has("/secret", b"secret")
    reason = _refused(server.at("/secret", host))
    assert reason == "there is no such server on the public internet"
    assert server.asked == []


def test_one_address_that_is_not_public_is_enough(server, names):
    server.has("/x", b"x")
    for others in (["10.0.0.1"], ["::1"], ["127.0.0.2"]):
        names["mixed.example"] = [HERE, *others]
        assert "no such server" in _refused(server.at("/x", "mixed.example"))
    assert server.asked == []


def test_a_name_that_turns_to_another_address_is_asked_once(server, names):
    """DNS rebinding: the second answer would be the address of a victim."""

    class Turning(list):
        def __iter__(self):
            turn = [HERE] if len(names.asked) == 1 else ["127.0.0.2"]
            return iter(turn)

    names["turning.example"] = Turning()
    server.has("/x", b"x")
    assert _fetched(server.at("/x", "turning.example")) == ("x", b"x")
    assert names.asked == ["turning.example"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(server, names, status):
    names["one.example"], names["two.example"] = [HERE], [HERE]
    server.has("/a", status=status, Location=server.at("/b.mp4", "two.example"))
    server.has("/b.mp4", b"clip")
    assert _fetched(server.at("/a", "one.example")) == ("b.mp4", b"clip")
    assert names.asked == ["one.example", "two.example"]
    assert server.asked[1][1]["Host"] == f"two.example:{server.port}"


@pytest.mark.parametrize(
    "to",
    ["http://127.0.0.2:{port}/secret", "http://localhost:{port}/secret", "//[::1]/",
     "http://evil.example/", "file:///etc/passwd", "ftp://1.1.1.1/", "data:,x",
     "gopher://127.0.0.1:{port}/_x", "http://u:p@127.0.0.1:{port}/secret",
     "http://[", "http://127.0.0.1:99999/", "/sec ret", "\\\\x\\secret"],
)  # fmt: skip
def test_where_a_redirect_leads_is_checked_again(server, names, to):
    names["evil.example"] = ["169.254.169.254"]
    names["localhost"] = ["127.0.0.1", "::1"]
    server.has("/a", status=302, Location=to.format(port=server.port))
    server.has("/secret", b"secret")
    _refused(server.at("/a"))
    assert [path for path, _ in server.asked] == ["/a"]


def test_redirects_end(server, names):
    for number in range(7):
        server.has(f"/{number}", status=302, Location=f"/{number + 1}")
    server.has("/6", b"x")
    assert _fetched(server.at("/1")) == ("6", b"x")
    assert "more than 5 times" in _refused(server.at("/0"))
    assert "more than 5 times" in _refused(server.has("/", status=302))  # to nowhere


def test_too_much_is_refused_before_it_comes(server, names):
    file = io.BytesIO()
    url = server.has("/big", bytes(2000))
    with pytest.raises(FetchError, match="larger than the 1,999 bytes"):
        fetch(url, file, most_bytes=1999, seconds=5)
    assert file.getvalue() == b""
    assert len(_fetched(url, most_bytes=2000)[1]) == 2000


def test_what_does_not_end_is_stopped_where_it_is_too_much(server, names):
    def endless(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            handler.wfile.write(bytes(2**16))

    file = io.BytesIO()
    with pytest.raises(FetchError, match="larger than"):
        fetch(server.has("/", endless), file, most_bytes=2**20, seconds=20)
    assert file.tell() <= 2**20


def _dripping(before, drop):
    def drip(handler):
        handler.wfile.write(before)
        for _ in range(100):
            handler.wfile.write(drop)
            time.sleep(0.05)

    return drip


@pytest.mark.parametrize(
    "slowly",
    [
        _dripping(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"),
        _dripping(b"HTTP/1.1 200 OK\r\nX: ", b"1"),
        _dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        _dripping(b"", b""),
    ],
    ids=["head", "line", "body", "silence"],
)
def test_what_drips_is_stopped_in_time(server, names, slowly):
    begin = time.monotonic()
    reason = _refused(server.has("/", slowly), seconds=0.2)
    assert reason == "it did not come whole within 0.2 seconds"
    assert time.monotonic() - begin < 2


def test_what_nobody_wants_any_more_is_given_up(server, names):
    begin, url = time.monotonic(), server.has("/", _dripping(b"", b""))
    with pytest.raises(FetchError, match="it was given up"):
        fetch(url, io.BytesIO(), most_bytes=9, seconds=5, is_unwanted=lambda: True)
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 10_000 + b"\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"1" * 100_000 + b"\r\n\r\n", "broke off"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "broke off"),
        (b"", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>", "web page"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "compresses"),
        (b"HTTP/1.1 206 Partial Content\r\n\r\n", "answers 206"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answers 404"),
    ],
)
def test_odd_answers_are_a_reason(server, names, raw, reason):
    assert reason in _refused(server.has("/", lambda handler: handler.wfile.write(raw)))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "not of http or https"),
        ("clip.mp4", "not of http or https"),
        ("file:///etc/passwd", "not of http or https"),
        ("ftp://example.org/x", "not of http or https"),
        ("s3://bucket/x", "not of http or https"),
        ("http:///x", "not of http or https"),
        ("http://example.org:0/", "not of http or https"),
        ("http://example.org:99999/", "no address"),
        ("http://[::1/", "no address"),
        ("http://exa mple.org/", "no address"),
        ("http://example.org/\r\nX: 1", "no address"),
        ("http://example.org\\@127.0.0.1/", "no address"),
        ("http://a" + "a" * 5000, "no address"),
        ("http://ann@example.org/", "user or a password"),
        ("http://:@example.org/", "user or a password"),
        ("https://ann:pw@example.org/x", "user or a password"),
    ],
)
def test_odd_addresses_are_refused(url, reason):
    assert reason in _refused(url)


def test_an_error_shows_no_secret_and_goes_through_a_pipe(server, names):
    names["nothing.example"] = ["10.0.0.1"]
    url = "https://ann:pw@nothing.example/a.mp4?X-Amz-Signature=0a1b"
    for secret in (url, url.replace("ann:pw@", "")):
        with pytest.raises(FetchError) as refused:
            _fetched(secret)
        assert "pw" not in str(refused.value)
        assert "0a1b" not in str(refused.value)
        assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_neither_proxies_nor_passwords_of_this_machine_are_used(
    server, names, monkeypatch, tmp_path
):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.2:9")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password pw")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.has("/x", b"x", Set_Cookie="a=b")
    assert _fetched(server.at("/x")) == _fetched(server.at("/x")) == ("x", b"x")
    for _, headers in server.asked:
        assert not {"Authorization", "Cookie"} & set(headers)


def _certificate(folder, host):
    """Write a certificate of a host that signs itself; return its file with the key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    names = x509.SubjectAlternativeName(
        [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]
    )
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(names, False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "both.pem").write_bytes(
        made.public_bytes(pem)
        + key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "both.pem"


def test_the_certificate_is_that_of_the_name_and_not_of_the_number(
    names, monkeypatch, tmp_path
):
    pem = _certificate(tmp_path, "clips.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context, called = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(pem)
    context.sni_callback = lambda socket, name, context: called.append(name)
    names["clips.example"] = names["other.example"] = [HERE]
    with _serving(context) as server:
        server.has("/x", b"x")
        assert _fetched(server.at("/x", "clips.example", "https")) == ("x", b"x")
        assert called == ["clips.example"]
        assert "who it is" in _refused(server.at("/x", "other.example", "https"))
        monkeypatch.delenv("SSL_CERT_FILE")
        assert "who it is" in _refused(server.at("/x", "clips.example", "https"))
        assert len(server.asked) == 1
