"""A server whose model asks its members in turn, and says who was not asked."""

import html
import json
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
from page_server import FACTS, a_scan
from serving_models import of_one_colour, open_small_and_large

from base_models import write_video
from base_models.errors import DeepfakeEnsembleWarning
from ensemble import scan_video
from ensemble.cli.app import main
from ensemble.serving.pages.in_words import scan_in_words
from ensemble.serving.scanning.worker import model_facts
from ensemble.serving.settings import ServedModel, ServerSettings

SAVED = Path(__file__).parents[2] / "saved_models" / "version_1" / "logistic.dfe"
MODEL = ServedModel(("",), "serving_models:open_small_and_large")
CLEAR, CLOSE = 210, 130  # red: the small member settles it, and the large one must
NOT_ASKED = "not asked: settled after small"


@pytest.fixture(scope="module")
def exact(serving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server") / "files"
    with serving(MODEL, folder=folder, cascade="exact") as served:
        yield served


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return {
        red: write_video(folder / f"{red}.mp4", of_one_colour(red, 12), fps=10)
        for red in (40, CLOSE, CLEAR)
    }


@pytest.fixture(scope="module")
def model():
    return open_small_and_large()


def reasons(scan):
    return {m["detector"]: m["reason"] for m in scan["result"]["members"]}


def text_of(answer):
    return " ".join(html.unescape(answer.text).split())  # with no-break spaces, too


def test_a_settled_file_says_who_was_asked_on_all_its_pages(exact, clips):
    scan = exact.scan(clips[CLEAR])
    assert reasons(scan) == {"small": "", "large": NOT_ASKED}
    assert scan["result"]["status"] == "scored"
    assert exact.client.get(scan["links"]["scan"]).json() == scan["result"]
    said = "The verdict was settled by small; not asked: large."
    for link in (f"/scans/{scan['id']}", scan["links"]["report"]):
        page = exact.client.get(link).text
        assert said in page
        assert NOT_ASKED in page
    assert NOT_ASKED in exact.made(scan["links"]["evidence"]).text


def test_where_all_are_asked_nothing_is_said_of_it(exact, clips):
    scan = exact.scan(clips[CLOSE])
    assert reasons(scan) == {"small": "", "large": ""}
    page = exact.client.get(f"/scans/{scan['id']}").text
    assert "ot asked" not in page


def test_an_exact_cascade_says_what_all_members_say(exact, clips, model):
    n_settled = 0
    for clip in clips.values():
        found, full = exact.scan(clip)["result"], scan_video(model, clip).to_dict()
        for key in ("verdict", "status", "doubts"):
            assert found[key] == full[key]
        left = [m for m in found["members"] if m["p_fake"] is None]
        n_settled += bool(left)
        if not left:
            assert found["p_fake"] == full["p_fake"]
    assert n_settled == 2


def test_the_model_says_how_its_members_are_asked(exact):
    facts = exact.client.get("/v1/model").json()["cascade"]
    assert facts["order"] == ["small", "large"]
    assert (facts["setting"], facts["problem"]) == ("exact", "")
    said = text_of(exact.client.get("/model"))
    assert "No verdict differs from the full ensemble's." in facts["said"]
    for sentence in facts["said"]:
        assert sentence in said


def test_scans_of_another_cascade_are_not_taken_for_this_ones(model):
    keys = set()
    for cascade in (None, "exact", 0.1, 0.2):
        facts = model_facts(model.set_params(cascade=cascade))
        assert (facts["cascade"] is None) == (cascade is None)
        keys.add(facts["key"])
    model.set_params(cascade=None)
    assert len(keys) == 4


@pytest.mark.slow
def test_a_server_started_again_with_another_cascade_makes_nothing_of_old_scans(
    serving, clips, tmp_path
):
    folder = tmp_path / "files"
    with serving(MODEL, folder=folder, cascade="exact") as served:
        settled = served.scan(clips[CLEAR])
    with serving(MODEL, folder=folder) as served:
        assert served.client.get("/v1/model").json()["cascade"] is None
        old = served.client.get(f"/v1/scans/{settled['id']}").json()
        assert old["result"] == settled["result"]
        answer = served.client.get(settled["links"]["evidence"])
        assert answer.status_code == 409
        assert "another cascade" in answer.json()["detail"]
        again = served.scan(clips[CLEAR])
        assert reasons(again) == {"small": "", "large": ""}
        assert served.made(again["links"]["evidence"]).status_code == 200


@pytest.mark.slow
def test_a_cascade_that_settles_nothing_is_said_when_the_server_starts(
    serving, clips, tmp_path
):
    """40 groups certify 0.1, and not 0.01."""
    with (
        warnings.catch_warnings(record=True) as given,
        serving(MODEL, folder=tmp_path / "files", cascade=0.01) as served,
    ):
        scan = served.scan(clips[CLEAR])
        assert reasons(scan) == {"small": "", "large": ""}
        assert "All members are asked" in served.client.get("/model").text
        facts = served.client.get("/v1/model").json()["cascade"]
    assert "299 groups or more are needed" in facts["problem"]
    ours = [w for w in given if issubclass(w.category, DeepfakeEnsembleWarning)]
    assert [str(warning.message) for warning in ours] == [facts["problem"]]


@pytest.mark.slow
def test_a_certified_cascade_is_served(serving, clips, tmp_path):
    with serving(MODEL, folder=tmp_path / "files", cascade=0.1) as served:
        assert reasons(served.scan(clips[CLEAR]))["large"] == NOT_ASKED
        said = text_of(served.client.get("/model"))
        assert "With a confidence of 95 %, the verdict differs" in said
        assert "Who was not asked stands in the table" in said


def test_error_rates_of_a_settled_file_are_said_to_be_those_of_all_members():
    by_status = {"scored": {"n_real": 9, "n_fake": 8, "false_alarms": [0.0, 0.0, 0.3],
                            "misses": [0.0, 0.0, 0.3]}}  # fmt: skip
    scan = a_scan(faces_disagree=False, doubts="", verdict="FAKE")
    scan["card"] = scan["card"] | {"by_status": by_status}
    whole = scan_in_words(scan)
    assert "could score, as they could this" in " ".join(whole.errors)
    left = {"detector": "b", "p_fake": None, "reason": "not asked: settled after net"}
    settled = scan_in_words(
        {**scan, "reason": left["reason"], "members": [*scan["members"], left]}
    )
    assert settled.why == ["The verdict was settled by net; not asked: b."]
    assert "as they could this" not in " ".join(settled.errors)
    assert settled.errors[-1] == "They were counted with all members asked."


def test_facts_without_a_cascade_make_the_same_page(client):
    assert "are asked" not in client.get("/model").text
    assert "cascade" not in FACTS
    assert client.get("/v1/model").json()["cascade"] is None


@pytest.mark.parametrize("cascade", ["exat", "0", "1.5", "nan"])
def test_what_is_no_cascade_is_refused_before_anything_is_loaded(
    cascade, tmp_path, capsys
):
    (tmp_path / "model.dfe").touch()
    with pytest.raises(SystemExit) as left:
        main(["serve", str(tmp_path / "model.dfe"), "--cascade", cascade])
    assert left.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "cascade must be None, 'exact' or the share" in said
    with pytest.raises(ValueError, match="cascade must be"):
        ServerSettings(cascade=cascade)


@pytest.mark.slow
@pytest.mark.parametrize(("more", "says"), [([], True), (["--quiet"], False)])
def test_the_command_says_whom_it_asks_first_and_what_saves_nothing(
    more, says, tmp_path
):
    httpx = pytest.importorskip("httpx")
    with subprocess.Popen(
        [
            sys.executable, "-c", "from ensemble.cli.start import main; main()",
            "serve", str(SAVED), "--port", "0", "--folder", str(tmp_path / "files"),
            "--cascade", "0.005", *more,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        address = re.search(r"http://\S+:\d+", process.stdout.readline())[0]
        assert httpx.get(f"{address}/health", timeout=30).status_code == 200
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    # A warning is a note, quiet or not.
    assert said.count("598 groups or more are needed, and there are 12") == 1
    assert ("Members are asked in this order" in said) == says


def test_settings_hold_what_json_can_hold():
    assert json.loads(json.dumps(ServerSettings(cascade=0.005).cascade)) == 0.005
    assert ServerSettings().cascade is None
