"""A model of real videos alone says FAKE TRACES or UNSURE, and never REAL."""

import io
import json
import re
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta
from typer.testing import CliRunner

from base_models import write_video
from ensemble import load, scan_video
from ensemble.choices import TRACES, UNSURE
from ensemble.cli.app import app
from ensemble.decision import verdict_rates
from ensemble.decision.named_thresholds import Thresholds
from ensemble.serving.pages.in_words import scan_in_words
from ensemble.serving.pages.view import scan_view
from ensemble.verdicts.doubts import doubts

SAVED = Path(__file__).parents[2] / "saved_models" / "version_1" / "reals_alone.dfe"
WORDS = {TRACES, UNSURE}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four clips of noise, each smoother than the one before."""
    import cv2

    folder, draw = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for number in range(4):
        clip = draw.integers(0, 256, (6, 64, 64, 3), np.uint8)
        clip = np.stack([cv2.blur(frame, (1 + 2 * number,) * 2) for frame in clip])
        write_video(folder / f"{number}.mp4", clip, fps=6, crf=10)
    return sorted(map(str, folder.iterdir()))


@pytest.fixture(scope="module")
def model():
    return load(SAVED)


@pytest.fixture(scope="module")
def low(tmp_path_factory):
    """The same with a limit that much is above, as a file."""
    model = load(SAVED)
    model.set_params(threshold=0.01)
    path = tmp_path_factory.mktemp("low") / "low.dfe"
    model.save(path)
    return path


def run(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done
    return done


def test_no_door_of_the_library_says_real(model, low, videos, tmp_path):
    for one, word in ((model, None), (load(low), TRACES)):
        judged = one.judge(videos, doubts=False)
        assert set(judged["verdict"]) <= WORDS
        assert "p_fake" not in judged
        above = judged["suspicion"] > one.threshold_
        assert ((judged["verdict"] == TRACES) == above).all()
        if word:
            assert word in set(judged["verdict"])
        with pytest.raises(ValueError, match="never REAL, and labels"):
            one.predict(videos)
        with pytest.raises(ValueError, match="never REAL, and labels"):
            one.verdicts([0.1])
        assert set(one.judge(videos)["verdict"]) <= WORDS
        for combiner in ("voting", "max"):
            one.refit_combiner(combiner)
            assert set(one.judge(videos, doubts=False)["verdict"]) <= WORDS
    table = tmp_path / "videos.csv"
    pd.DataFrame({"path": videos}).to_csv(table, index=False)
    done = load(low).judge_table(table, tmp_path / "verdicts", isolation=None)
    rows = pd.read_parquet(done.output)
    assert "p_fake" not in rows
    assert set(rows["verdict"]) <= WORDS
    expected = load(low).judge(videos)
    np.testing.assert_array_equal(rows["suspicion"], expected["suspicion"])


def test_what_is_not_above_the_limit_says_why_it_is_not_real(model, videos):
    judged = model.judge(videos)
    quiet = judged[judged["verdict"] == UNSURE]
    assert len(quiet)
    assert (quiet["doubts"] != "").all()
    threshold = Thresholds(0.5, 0.5, False, "", never_real=True)
    assert threshold.verdicts([0.1, 0.9, np.nan]).tolist() == [UNSURE, TRACES, ""]
    rates = verdict_rates([0, 0, 1, 1], [TRACES, UNSURE, TRACES, UNSURE])
    assert rates.loc["false alarm", "rate"] == 0.5
    assert rates.loc["miss", "rate"] == 0


def test_a_score_below_all_reals_is_in_doubt_and_one_above_is_not(model):
    (name,) = model.oof_scores_
    known = model.oof_scores_[name]
    table = pd.DataFrame({name: [1e-4, known.median(), 1 - 1e-4]}, list("abc"))
    far_below, usual, far_above = doubts(model, table, table[name].to_numpy())
    assert "out of fold" in far_below
    assert (usual, far_above) == ("", "")
    verdicts = model.judge_scores(table)["verdict"].tolist()
    assert verdicts[0] == UNSURE
    assert verdicts[2] == TRACES


def test_the_limit_says_how_many_reals_may_be_above_it(model):
    n, known = len(model.oof_scores_), model.thresholds_
    n_above = int((model.oof_fake_score_ > known.high).sum())
    groups = model.fit_record_.training.groups
    assert len(set(groups)) == n  # each counts by itself
    most = beta.ppf(0.975, n_above + 1, n - n_above)
    assert f"{n_above} of {n} out-of-fold real videos" in known.set_on
    assert f"up to {100 * most:.0f} %" in known.set_on
    assert "never REAL" in known.where


def test_a_scan_calls_its_number_a_suspicion_everywhere(low, videos, tmp_path):
    result = scan_video(load(low), videos[0], doubts=False)
    assert result.verdict == TRACES
    found = result.to_dict()
    assert found["suspicion"] == result.p_fake
    text = json.dumps(found)
    assert "p_fake" not in text
    assert "P(fake)" not in text
    result.annotate(tmp_path / "drawn.mp4")
    with av.open(str(tmp_path / "drawn.mp4")) as film:
        assert "suspicion" in film.metadata["comment"]
        assert "P(fake)" not in film.metadata["comment"]
    result.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "suspicion" in page
    assert "P(fake)" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.S)
    view, said = scan_view(found), scan_in_words(found)
    assert (view.name, view.score) == ("Suspicion", result.p_fake)
    assert (said.word, said.kind) == (TRACES, "fake")
    assert "never seen a fake" in said.sentence
    assert "never that a file is real" in " ".join(said.errors)
    unsure = scan_in_words(found | {"verdict": UNSURE, "doubts": "odd"})
    assert (unsure.word, unsure.kind) == (UNSURE, "unsure")


@pytest.mark.slow
def test_the_command_line_says_so_too(low, videos, tmp_path):
    done = run("predict", *videos, "--model", low, "--no-doubts")
    assert "suspicion" in done.stdout
    assert "P(fake)" not in done.stdout
    assert TRACES in done.stdout
    done = run("predict", *videos, "--model", low, "--csv")
    table = pd.read_csv(io.StringIO(done.stdout))
    assert set(table["verdict"]) <= WORDS
    assert "suspicion" in table
    done = run("predict", *videos, "--model", low, "--json")
    assert all("suspicion" in row for row in json.loads(done.stdout))
    done = run("scan", videos[0], "--model", low, "--csv", tmp_path / "s.csv")
    assert "suspicion" in done.output
    assert "P(fake)" not in done.output
    done = run("scan", videos[0], "--model", low, "--csv", tmp_path / "s.csv")
    assert done.exit_code == 0, done.output  # its own file may be written again
    assert {"suspicion", "face_suspicion"} <= set(pd.read_csv(tmp_path / "s.csv"))


def test_watching_says_so_too(low, videos):
    from ensemble.inspection.watch import watch

    model = load(low)
    steps = list(watch(model, videos[0], window=1.0, frames=3))
    assert steps
    assert {step.verdict for step in steps} <= WORDS | {""}
    assert steps[-1].scan.score_name == "suspicion"
