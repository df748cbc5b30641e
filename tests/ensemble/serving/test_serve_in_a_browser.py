"""The server's pages in a real browser: files are sent, looked at and understood."""

import json
import re

import av
import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright.sync_api")
import itertools
from contextlib import suppress

from browser import Opened
from page_server import FACTS, a_scan, answering, two_squares
from PIL import Image
from playwright.sync_api import TimeoutError as NothingCame

from ensemble.serving.app import create_app
from ensemble.serving.settings import ServedModel, ServerSettings

TOKEN = "t" * 32
LONG = 60_000  # milliseconds that a scan may take on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server that scans."""
    pytest.importorskip("captum")
    folder = tmp_path_factory.mktemp("server") / "files"
    settings = ServerSettings(
        folder=folder, token=TOKEN, upload_bytes=2**20, scans_per_minute=600
    )
    model = ServedModel(("squares.dfe",), "page_server:open_model")
    with answering(create_app(model, settings)) as address:
        yield address


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files to send, by what they are."""
    folder = tmp_path_factory.mktemp("sent")
    (folder / "broken.mp4").write_bytes(b"no video at all")
    (folder / "large.mp4").write_bytes(bytes(2**20 + 1))
    picture = np.zeros((120, 120, 3), np.uint8)
    picture[20:84, 24:88] = (20, 20, 160)
    Image.fromarray(picture).save(folder / "one.png")
    two_squares(folder / "<b>two & more.mp4")
    with av.open(folder / "old.avi", "w") as video:
        stream = video.add_stream("mpeg4", 25)
        stream.width = stream.height = 120
        for _ in range(30):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
    return {path.stem.strip("<>")[:3]: path for path in folder.iterdir()} | {
        "two": folder / "<b>two & more.mp4"
    }


@pytest.fixture
def visit(browser):
    """``visit(address, ...)`` opens a new session; settings are those of a context."""
    contexts = []

    def visited(address, width=1100, **settings):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, **settings
        )
        context.set_default_timeout(LONG)
        contexts.append(context)
        context.on("dialog", lambda dialog: dialog.accept())
        opened = Opened(context.new_page())
        opened.page.goto(f"{address}/?token={TOKEN}")
        opened.page.wait_for_selector("#history", state="attached")
        return opened

    yield visited
    for context in contexts:
        context.close()


def send(page, *paths):
    """Choose files, and wait for their page."""
    page.set_input_files("#files", [str(path) for path in paths])
    page.wait_for_url(re.compile("/(scans/.{22}|compare.*)$"))


def sent(page, path):
    """Send a file, and wait until its scan is over."""
    send(page, path)
    page.wait_for_selector("#progress [data-pending]", state="detached")


def until(page, condition):
    """Wait; the page's policy lets no text be run that is handed to it later."""
    for _ in range(LONG // 50):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"not so: {condition}")


def words(page, selector="main"):
    return " ".join(page.inner_text(selector).split())


def is_well(opened):
    """Nothing was refused by the page's own policy, nothing came from elsewhere."""
    own = re.match(r"\w+://[^/]+", opened.page.url).group()
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith(own)] == []
    assert opened.overflow() <= 0


def test_a_result_reads_on_a_phone_and_a_moment_is_shown_in_place(tmp_path, visit):
    settings = ServerSettings(folder=tmp_path / "serve", token=TOKEN)
    app = create_app("model.dfe", settings)
    app.state.scanner.model_facts = FACTS
    jobs, files = app.state.jobs, app.state.files
    job = jobs.add("a_name_without_a_place_to_break" * 4, files.make_folder())
    jobs.claim()
    two_squares(files.job(job.folder) / "upload.mp4")
    (files.job(job.folder) / "scan.json").write_text(json.dumps(a_scan()))
    jobs.finish(job.id)
    with answering(app, lifespan="off") as address:
        opened = visit(address, width=360)
        page = opened.page
        for where in ("/", f"/compare?ids={job.id}", "/model", f"/scans/{job.id}"):
            page.goto(address + where)
            is_well(opened)
        assert "UNSURE" in words(page, ".verdict")
        until(page, "document.querySelector('video').readyState > 0")
        page.locator(".frames a").nth(4).click()
        until(page, "document.querySelector('video').currentTime == 1")
        assert words(page, "#said") == "The video is at 1.0 seconds."
        assert page.url.endswith(job.id)
        is_well(opened)
    jobs.close()


@pytest.mark.slow
def test_a_clip_of_two_people_is_sent_and_what_is_said_of_each_is_seen(
    server, files, visit
):
    opened = visit(server)
    page = opened.page
    send(page, files["two"])
    assert page.title().startswith(("0 %", "1", "2", "3", "4", "5", "6", "7", "8", "9"))
    page.wait_for_selector("#faces")
    assert page.inner_text("h1") == "<b>two & more.mp4"
    faces = [words(page, f".face:nth-child({n})") for n in (1, 2)]
    assert re.match(r"Face 1 REAL P\(fake\) 0\.\d{3} Seen from 0:00.0 to", faces[0])
    assert re.match(r"Face 2 FAKE P\(fake\) 0\.\d{3} Seen from 0:00.0 to", faces[1])
    assert "face 1 REAL, face 2 FAKE" in words(page, ".verdict")
    assert (
        "Of 24 fakes, judged by copies of it that had not learned from them, the model "
        "missed" in words(page)
    )
    assert page.evaluate("document.activeElement.id") == "main"
    assert words(page, "#said").startswith("Done. UNSURE")
    for picture in page.locator(".face img").all():
        assert picture.evaluate("image => image.naturalWidth") > 20
    page.click(".face:nth-child(2) .jump")
    assert "The video is at 0.0 seconds." in words(page, "#said")
    is_well(opened)


@pytest.mark.slow
def test_evidence_is_made_when_it_is_asked_for(server, files, visit):
    opened = visit(server)
    page = opened.page
    sent(page, files["two"])
    until(page, "document.querySelector('video').readyState > 0")
    page.locator(".frames a").last.click()
    at = page.evaluate("document.querySelector('video').currentTime")
    page.click("#ask-evidence")
    page.wait_for_selector("#evidence progress", state="attached")
    page.wait_for_selector("#open-evidence")
    assert page.evaluate("document.querySelector('video').currentTime") == at > 0
    assert words(page, "#said") == "It is done."
    is_well(opened)
    page.click("#open-evidence")
    page.wait_for_selector("text=How to read heat maps")
    assert words(page, "h1").startswith("What weighs most: ")
    assert "no proof" in words(page)
    is_well(opened)
    pictures = page.locator(".pictures img").all()
    assert pictures
    assert all(p.evaluate("image => image.naturalWidth") > 20 for p in pictures)
    page.click("text=Back to the result")
    page.wait_for_selector("#open-evidence")
    assert opened.complaints == []


@pytest.mark.slow
def test_a_video_that_browsers_do_not_play_plays_as_a_copy(server, files, visit):
    opened = visit(server)
    page = opened.page
    sent(page, files["old"])
    page.wait_for_selector("#watch video")
    page.wait_for_selector("[data-pending]", state="detached")
    until(page, "document.querySelector('video').readyState > 0")
    page.locator(".frames a").last.click()
    until(page, "document.querySelector('video').currentTime > 0")
    is_well(opened)


@pytest.mark.slow
def test_what_waits_changes_and_the_pictures_beside_it_are_not_loaded_again(
    tmp_path, visit
):
    settings = ServerSettings(folder=tmp_path / "serve", token=TOKEN)
    app = create_app("model.dfe", settings)
    app.state.scanner.model_facts = FACTS
    jobs = app.state.jobs
    with answering(app, lifespan="off") as address:
        opened = visit(address)
        page = opened.page
        for name in ("done.png", "next.png"):
            with page.expect_response("**/v1/scans"):
                page.set_input_files(
                    "#files", {"name": name, "mimeType": "", "buffer": b"x"}
                )
            page.wait_for_url("**/scans/*")
            page.goto(address)
        done, following = jobs.claim()[0], jobs.claim()[0]
        folder = app.state.files.job(done.folder)
        (folder / "frames").mkdir()
        Image.new("RGB", (64, 36)).save(folder / "frames" / "0.jpg")
        (folder / "scan.json").write_text(json.dumps(a_scan()))
        jobs.finish(done.id)
        page.wait_for_selector("#jobs img")
        page.check(f"#pick-{done.id}")
        for share in (0.2, 0.5, 0.7):
            jobs.progress(following.id, share, f"step {share}")
            page.wait_for_selector(f"text=step {share}")
        pictures = [url for url in opened.requests if url.endswith("/frames/0.jpg")]
        assert len(pictures) == 1
        assert page.is_checked(f"#pick-{done.id}")
        jobs.fail(following.id, "it is odd")
        page.wait_for_selector("text=It is odd.")
        assert page.locator("#compare-button").count() == 0  # one is not compared
        is_well(opened)
    jobs.close()


@pytest.mark.slow
def test_a_server_that_is_gone_is_said_to_be(tmp_path, visit):
    settings = ServerSettings(folder=tmp_path / "serve", token=TOKEN)
    app = create_app("model.dfe", settings)
    app.state.scanner.model_facts = FACTS
    with answering(app, lifespan="off") as address:
        page = visit(address).page
        job = app.state.jobs.add("a.mp4", app.state.files.make_folder())
        page.goto(f"{address}/scans/{job.id}")
    page.wait_for_selector("text=The server does not answer.")
    page.wait_for_selector(".gone [data-pending]")  # what is old looks it
    app.state.jobs.close()


@pytest.mark.slow
def test_the_report_is_a_file_that_prints_by_itself(server, files, visit, tmp_path):
    opened = visit(server)
    page = opened.page
    sent(page, files["two"])
    with page.expect_download() as download:
        page.click("text=Report to print or to send")
    path = tmp_path / "report.html"
    download.value.save_as(path)
    assert download.value.suggested_filename == "_b_two _ more-report.html"
    page.goto(path.as_uri())
    opened.requests.clear()
    page.emulate_media(media="print")
    assert "FAKE P(fake)" in words(page, ".face:nth-child(2)")
    assert opened.requests == []
    page.emulate_media(media="screen")
    with page.expect_download() as download:
        page.go_back()
        page.click("text=All scores")
    found = json.loads(download.value.path().read_text("utf-8"))
    assert [face["verdict"] for face in found["faces"]] == ["REAL", "FAKE"]


@pytest.mark.slow
def test_a_file_that_is_no_video_fails_with_its_reason_and_what_to_do(
    server, files, visit
):
    opened = visit(server)
    page = opened.page
    sent(page, files["bro"])
    page.wait_for_selector("text=This file could not be scanned.")
    assert "It cannot be read as a video or as a picture." in words(page)
    assert "See whether it plays in a video player." in words(page)
    is_well(opened)
    page.click("text=Send another file")
    assert "broken.mp4" in words(page, "#jobs")


@pytest.mark.slow
def test_a_file_that_is_too_large_is_refused_beside_one_that_is_taken(
    server, files, visit
):
    page = visit(server).page
    page.set_input_files("#files", [str(files["lar"]), str(files["one"])])
    page.wait_for_selector("#uploads .bad")
    assert "large.mp4 Not taken" in words(page, "#uploads")
    page.wait_for_selector("#jobs .badge")
    assert "one.png" not in words(page, "#uploads")
    assert "one.png" in words(page, "#jobs")
    assert "large.mp4" not in words(page, "#jobs")


@pytest.mark.slow
def test_a_file_for_which_there_is_no_room_is_sent_once_there_is(
    tmp_path, visit, monkeypatch
):
    monkeypatch.setattr("ensemble.serving.submissions._SOON", {"Retry-After": "1"})
    settings = ServerSettings(folder=tmp_path / "s", token=TOKEN, queue_length=1)
    app = create_app("model.dfe", settings)
    app.state.scanner.model_facts = FACTS
    jobs = app.state.jobs
    with answering(app, lifespan="off") as address:
        first = jobs.add("before.mp4", app.state.files.make_folder())
        page = visit(address).page
        names = [f"{number}.png" for number in range(2)]
        page.set_input_files(
            "#files", [{"name": n, "mimeType": "", "buffer": b"x"} for n in names]
        )
        page.wait_for_selector("text=Waits: the server has no room just now.")
        jobs.fail(first.id, "it is over")
        page.wait_for_selector("#jobs >> text=0.png")
        for job in jobs._jobs("where name = '0.png'"):
            jobs.fail(job.id, "it is over")
        page.wait_for_url("**/compare?*")
        assert "2 files side by side" in words(page)
    jobs.close()


@pytest.mark.slow
def test_several_files_are_seen_side_by_side(server, files, visit):
    opened = visit(server)
    page = opened.page
    send(page, files["two"], files["one"], files["bro"])
    page.wait_for_selector("[data-pending]", state="detached")
    cards = [words(page, f".card:nth-child({n})") for n in (1, 2, 3)]
    assert "Face 1: REAL" in cards[0]
    assert "Face 2: FAKE" in cards[0]
    assert "one.png" in cards[1]
    assert "What to do" in cards[2]
    is_well(opened)
    page.goto(f"{server}/")
    for box in page.locator("#jobs input[type=checkbox]").all():
        box.check()
    page.click("text=Show the chosen ones side by side")
    assert page.inner_text("h1") == "2 files side by side"


@pytest.mark.slow
def test_two_tabs_share_a_history_that_another_browser_does_not_see(
    server, files, visit
):
    first, stranger = visit(server).page, visit(server).page
    second = first.context.new_page()
    sent(first, files["one"])
    second.goto(f"{server}/")
    assert "one.png" in words(second, "#jobs")
    stranger.reload()
    assert "Nothing yet" in words(stranger, "#jobs")
    second.click("button:has-text('Delete')")
    second.wait_for_selector("text=Nothing yet")
    first.evaluate("window.dispatchEvent(new Event('focus'))")  # who comes back to it
    first.wait_for_selector("text=This scan was deleted meanwhile")
    first.reload()
    assert "It is not there, or not any more" in words(first)


@pytest.mark.slow
def test_files_are_dropped_on_the_page(server, files, visit):
    page = visit(server).page
    data = page.evaluate_handle(
        """bytes => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "dropped.png"));
        return data; }""",
        list(files["one"].read_bytes()),
    )
    for event in ("dragenter", "dragover"):
        page.dispatch_event("h1", event, {"dataTransfer": data})
    assert page.evaluate("document.documentElement.classList.contains('over')")
    page.dispatch_event("h1", "drop", {"dataTransfer": data})
    page.wait_for_url("**/scans/*")
    page.wait_for_selector("#look")
    assert page.inner_text("h1") == "dropped.png"
    picture = page.locator(".screen img")
    assert picture.evaluate("image => image.naturalWidth") == 120


@pytest.mark.slow
def test_all_can_be_done_with_the_keyboard(server, files, visit):
    page = visit(server).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    for waits in (10_000, 50_000):  # a browser that is busy may miss a key
        with suppress(NothingCame), page.expect_file_chooser(timeout=waits) as chooser:
            page.keyboard.press("Space")
            break
    chooser.value.set_files(str(files["two"]))
    page.wait_for_selector("#faces")
    until(page, "document.querySelector('video').readyState > 0")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """() => { const e = document.activeElement;
                const box = e.getBoundingClientRect();
                return [e.id || e.className || e.tagName, box.width > 0,
                        getComputedStyle(e).outlineStyle, e.textContent]; }"""
            )
        )
        if reached[-1][0] == "ask-evidence":
            break
    names = [name for name, *_ in reached]
    assert names[-1] == "ask-evidence"  # no trap, and not a stop for each frame
    assert "video" in names
    assert sum("jump" in name for name in names) <= 2 + 3 * 2
    assert all(
        seen and (outline != "none" or name == "video")
        for name, seen, outline, _ in reached
    )
    page.keyboard.press("Enter")
    page.wait_for_selector("#open-evidence")


@pytest.mark.slow
def test_all_but_the_jump_in_place_works_without_a_script(server, files, visit):
    opened = visit(server, java_script_enabled=False)
    page = opened.page
    page.set_input_files("#files", [str(files["two"])])
    page.click("button:has-text('Scan')")
    page.wait_for_selector("#faces")  # the page loads itself again
    assert "face 1 REAL, face 2 FAKE" in words(page, ".verdict")
    moment = page.locator("details .jump").first.get_attribute("href")
    assert re.fullmatch(r"/v1/scans/.{22}/video#t=[\d.]+", moment)
    page.click("#ask-evidence")
    page.wait_for_selector("#open-evidence")
    page.click("text=All frame scores as a table")
    assert page.locator("details td").first.is_visible()
    page.click("text=Delete this scan now")
    page.click("text=Delete it")  # asked on a page of its own
    page.wait_for_selector("text=Nothing yet")
    assert opened.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_every_page_fits_and_says_what_it_is_to_a_screen_reader(
    server, files, visit, scheme, width
):
    opened = visit(server, width, color_scheme=scheme)
    page = opened.page
    sent(page, files["two"])
    pages = [page.url, f"{server}/", f"{server}/model", f"{server}/scans/none"]
    pages.append(page.url.replace("/scans/", "/compare?ids="))
    for address in pages:
        opened.complaints.clear()
        page.goto(address)
        if not address.endswith("none"):
            is_well(opened)
        is_dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (is_dark == "rgb(18, 22, 27)") == (scheme == "dark")
        snapshot = page.locator("body").aria_snapshot()
        for landmark in ("banner", "navigation", "main", "contentinfo"):
            assert f"- {landmark}" in snapshot, landmark
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll('button, a, input, progress, img')]
            .filter(e => !e.closest('[aria-hidden]') && e.type != 'hidden'
                && !(e.textContent.trim() || e.ariaLabel || e.labels?.length
                     || e.hasAttribute('alt')))
            .map(e => e.outerHTML)"""
        )
        assert unnamed == []
        levels = page.evaluate(
            "[...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])"
        )
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids))
