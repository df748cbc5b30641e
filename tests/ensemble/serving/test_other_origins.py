"""A page of another origin, in the browser of somebody who uses the server."""

import contextlib
import http.server
import re
import sqlite3
import threading

import pytest
from browser import chromium
from served import Served

pytest.importorskip("fastapi")
pytestmark = pytest.mark.slow

# What a page may try; each returns what it got to see, or that it did something.
TRIES = """async ([server, scan]) => {
  const within = (promise) => Promise.race([
    promise, new Promise((done) => setTimeout(() => done("nothing"), 3000)),
  ]);
  const loads = (tag, attribute, url) => new Promise((done) => {
    const element = document.createElement(tag);
    element.onload = element.onloadeddata = () => done(`${tag} loaded`);
    element.onerror = () => done("nothing");
    element[attribute] = url;
    document.body.append(element);
  });
  const form = () => {
    const data = new FormData();
    data.append("file", new Blob(["x"]), "forged.mp4");
    return data;
  };
  const asked = async (path, options) => {
    const answer = await fetch(server + path, {credentials: "include", ...options});
    const text = await answer.text();
    return answer.type === "opaque" && !text ? "nothing" : `${answer.status} ${text}`;
  };
  const tries = {
    list: () => asked("/v1/scans"),
    "list without asking": () => asked("/v1/scans", {mode: "no-cors"}),
    "file": () => asked(`/v1/scans/${scan}/scan.json`),
    "known to run": () => asked("/health"),
    post: () => asked("/v1/scans", {method: "POST", body: form()}),
    "post without asking": () => asked(
      "/v1/scans", {method: "POST", mode: "no-cors", body: form()}),
    "post of the page": () => asked(
      "/scans", {method: "POST", mode: "no-cors", body: form()}),
    "json without asking": () => asked("/v1/scans", {
      method: "POST", mode: "no-cors", body: '{"url": "https://example.org/x.mp4"}'}),
    beacon: async () => {
      navigator.sendBeacon(server + "/v1/scans", form());
      return "nothing";
    },
    image: () => loads("img", "src", `${server}/v1/scans/${scan}/frames/0.jpg`),
    script: () => loads("script", "src", `${server}/v1/scans/${scan}/scan.json`),
    video: () => loads("video", "src", `${server}/v1/scans/${scan}/video`),
    style: () => {
      const link = loads("link", "href", `${server}/static/serve.css`);
      document.querySelector("link").rel = "stylesheet";
      return link;
    },
    frame: async () => {
      await loads("iframe", "src", `${server}/scans/${scan}`);
      const frame = document.querySelector("iframe");
      try {
        return frame.contentDocument.body ? frame.contentDocument.body.innerText
          || "nothing" : "nothing";
      } catch (error) { return "nothing"; }
    },
    socket: () => new Promise((done) => {
      const socket = new WebSocket(server.replace("http", "ws") + "/v1/scans");
      socket.onopen = () => done("open");
      socket.onerror = () => done("nothing");
    }),
    events: () => new Promise((done) => {
      const events = new EventSource(server + "/v1/scans", {withCredentials: true});
      events.onopen = events.onmessage = () => done("open");
      events.onerror = () => done("nothing");
    }),
    form: async () => {
      const form = document.createElement("form");
      form.method = "post";
      form.action = server + "/v1/scans";
      form.enctype = "multipart/form-data";
      form.target = "elsewhere";
      const field = document.createElement("input");
      field.name = "url";
      field.value = "https://example.org/x.mp4";
      form.append(field);
      const frame = document.createElement("iframe");
      frame.name = "elsewhere";
      document.body.append(frame, form);
      form.submit();
      await new Promise((done) => setTimeout(done, 500));
      return "nothing";
    },
    window: async () => {
      const opened = window.open(`${server}/scans/${scan}`);
      await new Promise((done) => setTimeout(done, 1000));
      try { return opened ? opened.document.body.innerText || "nothing" : "nothing"; }
      catch (error) { return "nothing"; }
    },
    "delete": () => asked(`/v1/scans/${scan}`, {method: "DELETE"}),
  };
  const got = {};
  for (const [name, attempt] of Object.entries(tries)) {
    try {
      got[name] = await within(attempt());
    } catch (error) { got[name] = "nothing"; }
  }
  return got;
}"""


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def _elsewhere():
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield listening.server_address[1]
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with Served(folder, allow_urls=True) as server:
        yield server


@pytest.fixture(scope="module")
def scan(served):
    import numpy as np

    from base_models import write_video

    draw = np.random.default_rng(0)
    frames = draw.integers(0, 256, (8, 48, 64, 3), np.uint8)
    clip = write_video(served.folder.parent / "clip.mp4", frames).read_bytes()
    _, job = served.upload("clip.mp4", clip)
    assert served.scanned(job["id"])["status"] == "done"
    return job["id"]


@pytest.fixture(scope="module")
def person(served):
    """The browser of somebody who opened the address that was printed."""
    api = pytest.importorskip("playwright.sync_api")
    path = chromium()
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu",
                  "--host-resolver-rules=MAP *.example 127.0.0.1"],
        )  # fmt: skip
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{served.address}/?token={served.token}")
        assert page.url == f"{served.address}/"
        yield context
        browser.close()


def _n_scans(served):
    with contextlib.closing(
        sqlite3.connect(next(served.folder.glob("*.sqlite*")))
    ) as rows:
        (n_rows,) = rows.execute("SELECT count(*) FROM jobs").fetchone()
    return n_rows


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost"])
def test_a_page_of_another_origin_gets_nothing(served, scan, person, host):
    before = _n_scans(served)
    with _elsewhere() as port:
        page = person.new_page()
        page.goto(f"http://{host}:{port}/")
        got = page.evaluate(TRIES, [served.address, scan])
        page.close()
    assert {what: seen for what, seen in got.items() if seen != "nothing"} == {}
    assert len(got) == 19
    assert _n_scans(served) == before
    assert served.ask("GET", f"/v1/scans/{scan}")[0] == 200


def test_a_page_of_ours_gets_what_another_does_not(served, scan, person):
    """So that the tries above are known to work."""
    page = person.new_page()
    page.goto(f"{served.address}/v1/model")
    got = page.evaluate(TRIES, [served.address, scan])
    page.close()
    for what in ("list", "file", "known to run"):
        assert got[what].startswith("200 "), what
    assert got["image"] == "img loaded"
    assert got["post"].startswith("202 ")
    assert got["delete"] == "204 "


def test_a_name_that_was_turned_to_this_machine_shows_nothing(served, person):
    page = person.new_page()
    for path in ("/", "/v1/scans", "/health", f"/?token={served.token}"):
        url = served.address.replace("127.0.0.1", "turned.example") + path
        answer = page.goto(url)
        assert answer.status == 421, path
        assert "Not the name of this server" in page.content()
    page.close()


def test_a_link_elsewhere_opens_the_page_for_who_may_see_it(served, person):
    """A strict cookie does not come along with a link; the token in it does."""
    with _elsewhere() as port:
        page = person.browser.new_context().new_page()
        for query, title in (("", "The token is missing"), (served.token, "")):
            page.goto(f"http://evil.example:{port}/")
            page.evaluate(
                """(url) => {
                  const link = document.createElement("a");
                  link.href = url;
                  link.textContent = "open";
                  document.body.append(link);
                }""",
                f"{served.address}/?token={query}",
            )
            page.click("a")
            page.wait_for_load_state("networkidle")
            if title:
                assert title in page.content()
        page.wait_for_url(f"{served.address}/")
        assert not re.search("token is missing", page.content())
        cookies = page.context.cookies()
        assert [cookie["sameSite"] for cookie in cookies] == ["Strict"]
        assert cookies[0]["httpOnly"]
        page.context.close()
