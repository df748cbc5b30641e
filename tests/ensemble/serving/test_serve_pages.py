"""What the pages of the server say, and that nothing in them runs or is loaded."""

import hashlib
import re
import time
from html.parser import HTMLParser

import pytest

pytest.importorskip("fastapi")
from page_server import CARD, FACTS, RATES, a_scan
from starlette.testclient import TestClient

from ensemble.serving.app import create_app
from ensemble.serving.pages.in_words import errors_in_words, scan_in_words
from ensemble.serving.pages.reasons import advice, reason_in_words
from ensemble.serving.pages.timeline import timeline_panels
from ensemble.serving.settings import ServerSettings

EVIL = "<script>alert(1)</script>\"' onload=x \u202e.mp4"


class Tags(HTMLParser):
    """Collects what is in a page: (tag, attributes), and the text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.words = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.words += " " if tag in ("td", "th") else ""

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] in ("script", "style"):
            self.scripts.append(data.strip())
        self.words += data


def test_the_page_of_a_scan_says_what_is_said_of_each_face(client, add):
    page = client.get(f"/scans/{add(a_scan())}")
    words = " ".join(Tags(page.text).words.split())
    assert page.status_code == 200
    assert "UNSURE This score is no ground for calling the video real or fake." in words
    assert "The faces differ: face 1 REAL, face 2 FAKE" in words
    assert "Face 1 REAL P(fake) 0.120 Seen from 0:00.0 to 0:02.0." in words
    assert "Face 2 FAKE P(fake) 0.700" in words
    assert "the model missed 80 % (likely 50 to 100 %)" in words
    assert "A score is evidence, not proof." in words
    assert "About 70 of 100 files with such a score should be fake" in words


@pytest.mark.parametrize("page", ["scan", "start", "compare", "report"])
def test_names_are_text_and_no_page_holds_a_script_or_a_style_of_its_own(
    client, add, page
):
    scan = a_scan(EVIL, members=[{"detector": EVIL, "p_fake": 0.5, "reason": EVIL}],
                  doubts=EVIL)  # fmt: skip
    job = add(scan, EVIL)
    address = {"scan": f"/scans/{job}", "start": "/", "compare": f"/compare?ids={job}",
               "report": f"/v1/scans/{job}/report.html"}[page]  # fmt: skip
    answer = client.get(address)
    tags = Tags(answer.text)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "\u202e" not in answer.text
    assert "<script>alert(1)</script>" in tags.words  # as text
    for tag, attributes in tags.tags:
        if page != "report":
            assert tag != "style"
        assert tag != "script" or attributes["src"] == "/static/serve.js"
        strange = [name for name in attributes if name.startswith("on")]
        assert strange == []
        assert "style" not in attributes
        for name in ("href", "src", "action", "poster"):
            found = attributes.get(name) or "#"
            assert found.startswith(("/", "#", "data:")), found
    assert page == "report" or not any(tags.scripts)


def test_the_report_holds_all_and_loads_nothing(client, add):
    answer = client.get(f"/v1/scans/{add(a_scan())}/report.html")
    tags = Tags(answer.text)
    assert "sandbox" in answer.headers["content-security-policy"]
    sources = [a["src"] for _, a in tags.tags if "src" in a]
    assert sources
    assert all(s.startswith("data:image/jpeg;base64,") for s in sources)
    loading = [a.get("href") for t, a in tags.tags if t in ("link", "script")]
    assert loading == ["data:,"]
    assert hashlib.sha256(b"pixels").hexdigest() in tags.words
    assert "ab" * 32 in tags.words  # the model's


def test_a_scan_that_failed_says_why_and_what_to_do(client, add, app):
    job = add()
    app.state.jobs.fail(job, "it cannot be opened (Invalid data found)")
    words = " ".join(Tags(client.get(f"/scans/{job}").text).words.split())
    assert "This file could not be scanned. It cannot be opened" in words
    assert "What to do See whether it plays in a video player." in words


def test_a_file_without_a_score_has_its_reason_and_nothing_to_show_for_it(client, add):
    found = a_scan(p_fake=None, verdict="", status="unscorable", doubts="", faces=[],
                   timeline=[], reason="no face found", faces_disagree=False,
                   members=[{"detector": "net", "p_fake": None, "reason": "no face"}],
                   how={"members": [], "steps": []})  # fmt: skip
    job = add(found, "still.png", media="image")
    words = " ".join(Tags(client.get(f"/scans/{job}").text).words.split())
    assert "No verdict The model could not score this picture." in words
    assert "What to do: Send a picture in which a face is seen" in words
    assert "Show these pictures" not in words
    assert client.get(f"/v1/scans/{job}/report.html").status_code == 200


def test_many_faces_are_all_there_and_few_timelines_open(client, add):
    one, row = a_scan()["faces"][0], a_scan()["timeline"][0]
    scores = [face / 40 for face in range(1, 31)]
    found = a_scan(
        faces=[one | {"face": n, "p_fake": p, "main": n == 3, "members": {"net": p},
                      "verdict": "FAKE" if p > 0.5 else "REAL"}
               for n, p in enumerate(scores, 1)],
        timeline=[row | {"face": n, "score": p, "seconds": second}
                  for n, p in enumerate(scores, 1) for second in (0.0, 1.0)],
    )  # fmt: skip
    page = client.get(f"/scans/{add(found)}").text
    open_ones = re.findall(r"<figcaption>(.*?)</", page.partition("<details>")[0])
    assert open_ones == [f"Face {n}" for n in (3, 26, 27, 28, 29, 30)]
    assert len(re.findall("<figcaption>", page)) == 30
    assert "The faces differ:</strong> 20 REAL, 10 FAKE. See" in page
    assert "24 more timelines" in page
    assert re.search(r'<th scope="row">Face 17</th>\s*<td>0.425</td>', page)


def test_a_score_of_unknown_calibration_is_not_called_a_probability(client, add):
    card = CARD | {"n_real": 0, "n_fake": 0, "rates": None, "above_chance": False}
    found = a_scan(calibration="unknown", card=card, doubts="nothing is known of it")
    page = client.get(f"/scans/{add(found)}").text
    assert "P(fake)" not in " ".join(Tags(page).words.split()).replace(
        "P(fake) is calibrated.", ""
    )
    assert ">more like a fake</text>" in page
    assert "The miss rate is unknown" in page


def test_an_address_leads_to_its_own_page(tmp_path):
    settings = ServerSettings(folder=tmp_path / "s", token="t" * 32, allow_urls=True)
    app = create_app("model.dfe", settings)
    headers = {"Authorization": f"Bearer {settings.token}"}
    client = TestClient(app, "http://127.0.0.1", headers=headers)
    form = {"url": "127.0.0.1/a.mp4"}
    page = client.post("/scans/address", data=form)
    for _ in range(200):
        if "could not be fetched" in page.text:
            break
        time.sleep(0.02)
        page = client.get(page.url.path)
    assert "Open the address in a browser, save the file itself" in page.text
    app.state.submissions.stop()
    app.state.jobs.close()


def test_a_scan_that_runs_is_looked_at_again_without_a_script(client, add, app):
    job = add()
    app.state.jobs.progress(job, 0.42, "scoring the video")
    page = client.get(f"/scans/{job}").text
    assert (
        '<noscript><meta http-equiv="refresh" '
        f'content="3; url=/scans/{job}?again=1"></noscript>' in page
    )
    assert "again=8" in client.get(f"/scans/{job}?again=7").text
    assert "42 %" in page
    assert "Scoring the video." in page
    assert "refresh" not in client.get("/model").text


def test_a_plain_form_leads_to_what_it_sent(client, app):
    app.state.scanner.wake = lambda: None
    one = client.post("/scans", files={"file": ("a.mp4", b"x")}, follow_redirects=False)
    assert one.status_code == 303
    assert client.get(one.headers["location"]).status_code == 200
    two = [("file", ("a.mp4", b"x")), ("file", ("b.mp4", b"y"))]
    beside = client.post("/scans", files=two, follow_redirects=False)
    page = client.get(beside.headers["location"]).text
    assert "2 files side by side" in page
    assert "b.mp4" in page
    none = client.post("/scans", files={"other": (None, "x")})
    assert none.status_code == 422
    assert "no file was chosen" in none.text.lower()


def test_an_odd_file_of_a_plain_form_costs_no_other_one(tmp_path):
    settings = ServerSettings(folder=tmp_path / "s", token="t" * 32, upload_bytes=4)
    app = create_app("model.dfe", settings)
    app.state.scanner.wake = lambda: None
    app.state.scanner.model_facts = FACTS
    headers = {"Authorization": f"Bearer {settings.token}"}
    client = TestClient(app, "http://127.0.0.1", headers=headers)
    sent = [
        ("a.mp4", b"x"),
        ("empty.mp4", b""),
        ("large.mp4", b"12345"),
        ("b.mp4", b"y"),
    ]
    page = client.post("/scans", files=[("file", file) for file in sent]).text
    words = " ".join(Tags(page).words.split())
    assert "4 files side by side" in words
    assert "Failed The file empty.mp4 is empty (0 bytes)." in words
    assert "The file is larger than" in words
    states = {j.name: j.status for j in app.state.jobs.of_session("token")}
    assert states == {"a.mp4": "queued", "b.mp4": "queued", "empty.mp4": "failed",
                      "large.mp4": "failed"}  # fmt: skip
    page = client.post("/scans", files=[("file", ("empty.mp4", b""))])
    assert page.status_code == 422
    assert "The file empty.mp4 is empty" in page.text
    many = client.post("/scans", files=[("file", ("a.mp4", b"x"))] * 13,
                       follow_redirects=False)  # fmt: skip
    assert many.headers["location"] == "/#history"
    app.state.jobs.close()


def test_what_is_asked_for_is_queued_and_a_deleted_scan_is_gone(client, add, app):
    job = add(a_scan())
    asked = client.post(f"/scans/{job}/evidence", follow_redirects=False)
    assert asked.headers["location"] == f"/scans/{job}#evidence"
    assert app.state.jobs.task(job, "evidence")["status"] == "queued"
    assert "The pictures are being made" in client.get(f"/scans/{job}").text
    asked = client.post(f"/scans/{job}/delete")
    assert "<h1>Delete this scan?" in asked.text
    assert client.get(f"/scans/{job}").status_code == 200
    assert f'action="/scans/{job}/delete?sure=1"' in asked.text
    client.post(f"/scans/{job}/delete?sure=1")
    gone = client.get(f"/scans/{job}")
    assert gone.status_code == 404
    assert "<h1>It is not there" in gone.text


def test_unknown_pages_and_kinds_are_pages_that_say_so(client, add):
    person = {"Accept": "text/html"}
    for address in ("/scans/short", "/static/../app.py", "/static/x", "/nope",
                    "/compare?ids=" + "a" * 22):  # fmt: skip
        answer = client.get(address, headers=person)
        assert answer.status_code == 404
        assert "<h1>It is not there" in answer.text
    assert client.get("/nope").json()["detail"] == "there is no such page"
    assert client.get("/compare").status_code == 422
    assert client.head("/health").status_code == client.get("/health").status_code
    assert client.post(f"/scans/{add(a_scan())}/other").status_code == 404
    assert client.post("/scans/address", data={"url": "x"}).status_code == 403


def test_the_history_is_of_this_session(client, add):
    mine, other = add(a_scan()), add(a_scan(), session="another")
    page = client.get("/").text
    assert f"/scans/{mine}" in page
    assert f"/scans/{other}" not in page


def test_the_page_of_the_model_says_how_often_it_errs(client):
    words = " ".join(Tags(client.get("/model").text).words.split())
    assert "Miss: a fake called REAL 10 80 % 50 to 100 %" in words
    assert "36 real" not in words
    assert "20 real, 10 fake, of 12 groups" in words


def test_the_miss_rate_is_said_or_said_to_be_unknown():
    for card in (None, CARD | {"n_real": 0, "n_fake": 0, "rates": None},
                 CARD | {"rates": None, "problem": "it was lost"},
                 CARD | {"n_fake": 0, "rates": RATES | {"n_fake": 0}}):  # fmt: skip
        assert "miss rate is unknown" in " ".join(errors_in_words(card))
    known = errors_in_words(CARD, "REAL")
    assert known[0].startswith(
        "Of 10 fakes, judged by copies of it that had not learned from them, the model "
        "missed 80"
    )
    assert "REAL says little" in " ".join(known)


def test_a_verdict_is_a_sentence_and_doubts_are_reasons():
    said = scan_in_words(
        a_scan(doubts="no score of net; AUC 0.6 (of few; two groups) is low")
    )
    assert said.why == ["No score of net.", "AUC 0.6 (of few; two groups) is low."]
    between = a_scan(doubts="", threshold={"low": 0.3, "high": 0.8})
    assert "between 0.300 and 0.800" in scan_in_words(between).sentence
    real = scan_in_words(a_scan(verdict="REAL", doubts=""), "picture")
    assert real.sentence.endswith("That does not make this picture genuine.")


def test_each_kind_of_failure_has_its_advice():
    reasons = ["no face was found", "it took longer than the 600 seconds allowed",
               "it took more than the 4 GiB of memory", "something odd",
               "the address could not be fetched: it redirects; its memory is full",
               "it ended the process that scanned it (killed)",
               "it cannot be opened (Invalid data)"]  # fmt: skip
    assert len({advice(reason) for reason in reasons}) == len(reasons)


def test_reasons_have_no_words_of_programs():
    before = "it cannot be read as a video or an image: "
    for reason, words in (
        (f"{before}reading it takes longer than the 1 s allowed",
         "reading it takes longer than the 1 s allowed"),
        (f"{before}the image has 12,000 x 12,000 pixels (144,000,000)",
         "the picture has 12,000 x 12,000 pixels (144 million)"),
        ("an error of the server (KeyError); its log has the details",
         "an error of the server; its log has the details"),
        ("ValueError: it is odd", "it is odd"),
        ("a face of like size, seen from 0.4 to 63.2 s, was looked at by no detector "
         "of faces",
         "a face of like size, seen from 0:00.4 to 1:03.2, was not scored as a face"),
        ("no face found in a.jpg (1 frames tried); lower min_face or drop the video",
         "no face found in a.jpg (1 frame tried)"),
        ("members disagree (a 0.010, b 0.990: 9.2 in log-odds, 4.3 or less on 97.5 % "
         "of the out-of-fold videos)",
         "its members are further apart (a says 0.010, b says 0.990) than "
         "they were on nearly all videos that the model was tried on"),
        ("net gives 0.001, out of fold 0.167 to 0.994",
         "net says 0.001, and said 0.167 to 0.994 of the videos that the model was "
         "tried on: it has seen nothing like this"),
        ("shorter side of the frame 480 pixels, in training 192",
         "the shorter side of the frame has 480 pixels, and 192 in the videos that the "
         "model learned from: on others it may err more"),
        ("the model is not shown to beat chance out of fold (AUC 0.70 (0.45 to 0.86))",
         "on the videos that it was tried on, the model was not shown to tell fakes "
         "from real ones better than chance"),
    ):  # fmt: skip
        assert reason_in_words(reason, "picture") == words
    assert "minute is plenty" in advice("reading it takes longer than the 1 s allowed")


def test_the_timeline_has_a_panel_a_face_and_its_clearest_moments():
    panels = timeline_panels(a_scan())
    assert [panel.title for panel in panels] == ["Face 1", "Face 2"]
    (stands_out,) = panels[1].highest(2)
    assert (stands_out[0].at, stands_out[1]) == ("0:00.0", "net 0.900")
    assert [mark.decided for mark in panels[1].lines[0].marks] == [True] * 3
    widths = [moment.width for moment in panels[0].moments]
    assert sum(widths) == pytest.approx(100)


def test_a_member_that_always_says_the_same_points_at_no_moment():
    row = {"frame": 0, "face": 1, "decided": True}
    rows = [row | {"detector": "flat", "seconds": t, "score": 0.5} for t in (0, 4)]
    rows += [row | {"detector": "net", "seconds": t, "score": p}
             for t, p in enumerate((0.1, 0.1, 0.6, 0.1, 0.1))]  # fmt: skip
    (panel,) = timeline_panels({"timeline": rows, "faces": []})
    assert [(m.at, said) for m, said in panel.highest()] == [("0:02.0", "net 0.600")]
    (panel,) = timeline_panels({"timeline": rows[:2], "faces": []})
    assert panel.highest() == []


def test_a_picture_without_the_score_of_a_member_that_needs_a_video_says_so(
    client, add
):
    lacking = {"detector": "flicker", "p_fake": None,
               "reason": "1 frames, and it takes 3 in a row"}  # fmt: skip
    found = a_scan(
        members=[*a_scan()["members"], lacking], faces=a_scan()["faces"][:1],
        doubts="no score of flicker, and none of 45 out-of-fold videos lacked it",
        faces_disagree=False,
    )  # fmt: skip
    job = add(found, "a.jpg", media="image")
    words = " ".join(Tags(client.get(f"/scans/{job}").text).words.split())
    assert "This is a picture, and flicker needs a video" in words
    assert "member that looks at 3 frames in a row needs a video" in words
    assert "out-of-fold" not in words
    assert "(PNG)" not in words
    assert "they say little of a single picture" in words


def test_faces_that_differ_are_said_once_and_against_no_verdict_that_was_given(
    client, add
):
    page = client.get(f"/scans/{add(a_scan(verdict='FAKE'))}").text
    assert "The faces differ:" in page
    assert "ts faces disagree" not in page
    page = client.get(f"/scans/{add(a_scan(verdict='FAKE', doubts='it is odd'))}").text
    assert "What speaks against a verdict" not in page
    assert "It is odd." in page


@pytest.mark.parametrize(
    ("name", "media", "words"),
    [
        ("a.mp4", "video", "save it as MP4 (H.264)"),
        ("cut.jpg", "image", "save it as JPEG or PNG"),
        ("photo.HEIC", "video", "save it as JPEG or PNG"),
        ("letter.pdf", "video", "This is no video and no picture."),
        ("notes.txt", "video", "This is no video and no picture."),
        ("without_an_ending", "video", "save it as MP4 (H.264)"),
    ],
)
def test_a_file_that_cannot_be_read_has_advice_for_what_it_is(
    client, add, app, name, media, words
):
    job = add(name=name, media=media)
    app.state.jobs.fail(
        job, "it cannot be read as a video or an image: it cannot be opened (Invalid "
        "data found when processing input)",
    )  # fmt: skip
    page = " ".join(Tags(client.get(f"/scans/{job}").text).words.split())
    assert words in page
    assert "Invalid data" not in page
    assert words in client.get(f"/compare?ids={job}").text


def test_what_a_member_moved_is_its_share_in_the_score(client, add):
    rows = [
        {
            "detector": name,
            "frames": 3,
            "low": 0.4,
            "high": 0.6,
            "weight": 25.0,
            "moved": by,
        }
        for name, by in (("flat", 0.0), ("net", 3.0), ("b", -1.0))
    ]
    members = [{"detector": r["detector"], "p_fake": 0.5, "reason": ""} for r in rows]
    found = a_scan(how={"members": rows, "steps": []}, members=members, faces=[])
    words = " ".join(Tags(client.get(f"/scans/{add(found)}").text).words.split())
    assert "flat 0.500 0 % 3" in words
    assert "net 0.500 75 % towards fake 3" in words
    assert "b 0.500 25 % away from fake 3" in words
    assert "25.00" not in words


def _luminance(colour):
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_from_its_ground_in_both_schemes(client):
    css = client.get("/static/page.css").text + client.get("/static/serve.css").text
    light, dark = {}, {}
    for block in re.findall(r"(@media screen[^{]*\{\s*)?:root \{(.*?)\}", css, re.S):
        scheme = dark if block[0] else light
        scheme.update(re.findall(r"--([\w-]+): (#\w{6})", block[1]))
    for scheme in (light, light | dark):
        inks = ("ink", "soft", "accent", "bad", "good", "unsure")
        pairs = [(ink, ground) for ink in inks for ground in ("ground", "raised")]
        pairs += [("ink", f"wash-{kind}") for kind in ("bad", "good", "unsure")]
        pairs += [("soft", f"wash-{kind}") for kind in ("bad", "good", "unsure")]
        pairs += [("accent", "wash-unsure"), ("on-accent", "accent")]
        for one, other in pairs:
            a, b = sorted((_luminance(scheme[one]), _luminance(scheme[other])))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (one, other, scheme)


def test_what_a_score_means_goes_by_the_share_of_fakes_that_was_given():
    steps = [{"step": "calibrated (platt)", "p_fake": 0.916},
             {"step": "for a share of fakes of 1 %", "p_fake": 0.099}]  # fmt: skip
    said = scan_in_words(a_scan(p_fake=0.099, how={"members": [], "steps": steps}))
    assert "calibrated on, and 1 % of all files are fakes." in " ".join(said.meaning)


def test_all_files_of_a_long_list_are_shown_or_said_to_be_left_out(client, add):
    ids = [add(a_scan(), f"{number}.mp4") for number in range(52)]
    page = client.get("/compare?ids=" + "&ids=".join(ids[:20])).text
    assert page.count('class="card ') == 12
    assert "8 more are not shown here" in page
    assert "2 older ones are not listed" in client.get("/").text
