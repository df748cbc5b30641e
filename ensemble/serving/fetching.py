"""Fetches the file behind an address that a stranger gave: public servers alone."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable
from email.message import Message
from typing import BinaryIO

from base_models.addresses import public_name
from ensemble.reporting.plain_text import printable

_CONNECT = 10.0  # seconds for a connection
_MOST_REDIRECTS = 5
_MOST_LETTERS = 4096  # of an address
_MOST_OF_NAME = 200
_CHUNK = 2**16
_LOOK = 0.2  # seconds between two looks whether it is wanted still
_MOVED = (301, 302, 303, 307, 308)

# What the registries of IANA keep for other uses than servers of the internet, beside
# what `ipaddress` knows, whose list grew from one version of Python to the next.
_NOT_PUBLIC_4 = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
        "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # of Azure: what it tells its machines
    )
]  # fmt: skip
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = [
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # Teredo, benchmarks and other protocols
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address of any kind is in it
        "3fff::/20",  # documentation
    )
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # how networks without IPv4 reach it


class FetchError(OSError):
    """The file behind an address cannot be had, or may not.

    Parameters
    ----------
    address : str
        What grants access in it is left out.
    reason : str
    advice : str
        What to do about it.

    Attributes
    ----------
    address, reason, advice : str

    Examples
    --------
    >>> from ensemble.serving.fetching import FetchError
    >>> print(FetchError("https://host/a.mp4?sig=1", "it is a page", "give the file's"))
    cannot fetch https://host/a.mp4: it is a page; give the file's
    """

    def __init__(self, address: str, reason: str, advice: str) -> None:
        self.address, self.advice = printable(public_name(address)), advice
        self.reason = public_name(reason.replace(str(address), self.address))
        super().__init__(f"cannot fetch {self.address}: {self.reason}; {advice}")

    def __reduce__(self):
        return type(self), (self.address, self.reason, self.advice)


def is_public(address: str) -> bool:
    """Whether a numeric address may be that of a server of the public internet.

    Parameters
    ----------
    address : str
        IPv4 or IPv6. One that holds an IPv4 address is refused, save those of NAT64,
        which are as public as what they hold.

    Examples
    --------
    >>> from ensemble.serving.fetching import is_public
    >>> is_public("93.184.215.14"), is_public("10.0.0.1"), is_public("::ffff:1.1.1.1")
    (True, False, False)
    """
    try:
        numeric = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(numeric, ipaddress.IPv4Address):
        return numeric.is_global and not any(numeric in net for net in _NOT_PUBLIC_4)
    if numeric.scope_id is not None:
        return False
    if numeric in _NAT64:
        return is_public(str(ipaddress.IPv4Address(int(numeric) & 0xFFFFFFFF)))
    return (
        numeric.is_global
        and numeric in _PUBLIC_6
        and not any(numeric in net for net in _NOT_PUBLIC_6)
    )


def fetch(
    url: str,
    file: BinaryIO,
    *,
    most_bytes: int,
    seconds: float,
    is_unwanted: Callable[[], bool] = lambda: False,
) -> str:
    """Write the file behind an address as its server sends it, and return its name.

    Each host is resolved once, all that it resolves to is checked, and the connection
    goes to what was checked; so for each of at most 5 redirects. Neither proxies,
    cookies nor passwords of this machine or of the address are used. Nothing is
    unpacked. It needs aiohttp.

    Parameters
    ----------
    url : str
        http or https.
    file : binary file
        Open for writing. It holds what came until an error, if there is one.
    most_bytes : int
        The largest file that is taken.
    seconds : float
        From the first look-up to the last byte.
    is_unwanted : function, optional
        Called again and again; it is given up where that returns True.

    Returns
    -------
    str
        What the server calls it, or the last part of the address: text that can be
        printed, of at most 200 letters and without a folder.

    Raises
    ------
    FetchError
        With the reason. Whether a name is known to the network of this machine alone
        is not in it.

    Examples
    --------
    >>> import io
    >>> from ensemble.serving.fetching import fetch
    >>> fetch("http://127.0.0.1/a.mp4", io.BytesIO(), most_bytes=2**20, seconds=5)
    Traceback (most recent call last):
    ensemble.serving.fetching.FetchError: cannot fetch http://127.0.0.1/a.mp4: there is
    no such server on the public internet; check the address, or upload the file
    """
    loop = asyncio.new_event_loop()
    try:
        whole = _while_wanted(_fetched(str(url).strip(), file, most_bytes), is_unwanted)
        return loop.run_until_complete(asyncio.wait_for(whole, seconds))
    except (TimeoutError, asyncio.TimeoutError):
        raise FetchError(
            url,
            f"it did not come whole within {seconds:g} seconds",
            "try again, or upload the file",
        ) from None
    except asyncio.CancelledError:
        raise FetchError(url, "it was given up", "ask for it again") from None
    finally:  # and not `asyncio.run`, which waits for look-ups that never end
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _while_wanted(work, is_unwanted):
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_LOOK)
            if is_unwanted():
                break
    finally:
        task.cancel()
        await asyncio.wait({task})
    return task.result()


async def _fetched(address, file, most_bytes):
    url = _parsed(address, address)
    for _ in range(_MOST_REDIRECTS + 1):
        servers = await _servers(address, url)
        moved, name = await _asked(address, url, servers, file, most_bytes)
        if moved is None:
            return name
        url = _parsed(address, moved, url)
    raise FetchError(
        address,
        f"it is redirected more than {_MOST_REDIRECTS} times",
        "give the address of the file itself",
    )


def _parsed(address, text, base=None):
    """Return what a text addresses, seen from where it was read; refuse odd ones."""
    import yarl

    advice = "give an address such as https://example.org/clip.mp4"
    where = "it" if base is None else "an address that it is redirected to"
    try:
        if len(text) > _MOST_LETTERS or re.search(r"[\x00-\x20\x7f\\]", text):
            raise ValueError("longer than an address is, or with spaces or controls")
        url = yarl.URL(text, encoded=re.fullmatch(r"[!-~]+", text) is not None)
        url = url if base is None else base.join(url)
        port, host = url.port, url.host
        is_odd = url.raw_user is not None or url.raw_password is not None
    except ValueError:  # which may quote parts of a password
        raise FetchError(address, f"{where} is no address of the web", advice) from None
    if url.scheme not in ("http", "https") or not host or not port:
        raise FetchError(address, f"{where} is not of http or https", advice)
    if is_odd or "@" in url.raw_authority:
        raise FetchError(
            address,
            f"{where} has a user or a password",
            "give one that needs none, or upload the file",
        )
    return url


async def _servers(address, url):
    """Return what a host resolves to, for the connection; refuse what is not public."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            url.raw_host.rstrip("."), url.port, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError):
        found = []
    if not found or not all(is_public(server[0]) for *_, server in found):
        raise FetchError(
            address,
            "there is no such server on the public internet",
            "check the address, or upload the file",
        )
    return [
        {
            "hostname": url.raw_host,
            "host": server[0],
            "port": server[1],
            "family": family,
            "proto": proto,
            "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        }
        for family, _, proto, _, server in found
    ]


async def _asked(address, url, servers, file, most_bytes):
    """Return where an address has moved to, or None, and the name of what came."""
    import aiohttp

    try:
        async with (
            _session(servers, url.scheme == "https") as session,
            session.get(
                url, headers={"Accept-Encoding": "identity"}, allow_redirects=False
            ) as answer,
        ):
            if answer.status in _MOVED:
                return answer.headers.get("Location", ""), None
            _check_head(address, answer, most_bytes)
            await _copy(address, answer, file, most_bytes)
            return None, _name(answer, url)
    except aiohttp.ClientSSLError:
        raise FetchError(
            address, "its server cannot show who it is (TLS)", "upload the file"
        ) from None
    except aiohttp.ClientConnectorError:
        raise FetchError(
            address,
            "no connection to its server",
            "check the address, or upload the file",
        ) from None
    except (aiohttp.ClientError, ConnectionError, ValueError) as error:
        raise FetchError(
            address,
            f"its server broke off ({type(error).__name__})",
            "try again, or upload the file",
        ) from None


def _session(servers, is_safe):
    """Return a client that connects to these servers, whatever is asked of it."""
    import ssl

    import aiohttp
    from aiohttp.abc import AbstractResolver

    class Checked(AbstractResolver):
        async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
            return servers

        async def close(self):
            pass

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=Checked(),
            use_dns_cache=False,
            force_close=True,
            ssl=ssl.create_default_context() if is_safe else True,
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,  # neither proxies nor .netrc
    )


def _check_head(address, answer, most_bytes):
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if answer.status != 200:
        raise FetchError(
            address,
            f"its server answers {answer.status}",
            "check the address, or upload the file",
        )
    if kind in ("text/html", "application/xhtml+xml"):
        raise FetchError(
            address,
            "it is a web page (HTML) and no file",
            "give the address of the file itself, or upload the file",
        )
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchError(address, "its server compresses it", "upload the file")
    if (answer.content_length or 0) > most_bytes:
        raise _too_large(address, most_bytes)


async def _copy(address, answer, file, most_bytes):
    n_bytes = 0
    async for piece in answer.content.iter_chunked(_CHUNK):
        n_bytes += len(piece)
        if n_bytes > most_bytes:
            raise _too_large(address, most_bytes)
        file.write(piece)


def _too_large(address, most_bytes):
    return FetchError(
        address,
        f"it is larger than the {most_bytes:,} bytes that are allowed",
        "cut it, or have the limit raised",
    )


def _name(answer, url):
    head = Message()
    head["Content-Disposition"] = printable(
        answer.headers.get("Content-Disposition", "")
    )
    try:
        stated = head.get_filename("")
    except ValueError:  # an encoding that is none
        stated = ""
    for name in (stated, url.name, url.host):
        last = printable(re.split(r"[/\\]", name)[-1]).strip()
        if last not in ("", ".", ".."):
            return last[:_MOST_OF_NAME]
    return "unnamed"
