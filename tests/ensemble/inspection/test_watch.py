"""A running score while a source plays: of the right frames, bounded, cleanly ended."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from base_models import (
    CallableDetector,
    FrameDetector,
    VideoReadError,
    probe_video,
    write_video,
)
from ensemble import DeepfakeEnsemble
from ensemble.cli.app import main
from ensemble.inspection.watch import FilmWriter, RunningScore, watch

SHADES = np.repeat([40, 200], 8)  # dark videos are real, bright ones fake


def _frames(shades, size=(48, 64)):
    return np.stack([np.full((*size, 3), shade, np.uint8) for shade in shades])


def _brightness(videos):
    """P(fake) is the mean brightness; a black video has no score."""
    means = [np.mean(video) / 255 for video in videos]
    return [mean if mean > 0.02 else np.nan for mean in means]


def _fitted(detector, n_frames=4, **params):
    draw = np.random.default_rng(0)
    videos = [_frames(draw.integers(s - 20, s + 20, n_frames)) for s in SHADES]
    model = DeepfakeEnsemble([("one", detector)], resampling=2, verbose=False, **params)
    return model.fit(videos, SHADES > 100, groups=np.arange(16) % 8)


@pytest.fixture(scope="module")
def model():
    return _fitted(CallableDetector(_brightness))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    detector = FrameDetector(
        "resnet18", view="frame", train="head", weights=None, image_size=32, n_frames=2
    )
    path = tmp_path_factory.mktemp("watch") / "model.dfe"
    _fitted(detector).save(path)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Three seconds at 8 a second: dark, bright, black."""
    shades = [60] * 8 + [200] * 8 + [0] * 8
    path = tmp_path_factory.mktemp("watch") / "clip.mp4"
    return write_video(path, _frames(shades), fps=8, crf=0)


def test_each_step_is_what_judge_says_of_its_frames(model, clip):
    steps = list(watch(model, clip, every=1.0, frames=4, window=2.0))
    assert [step.seconds for step in steps] == pytest.approx([0.75, 1.75, 2.75])
    for step, shade in zip(steps[:2], (60, 200), strict=False):
        (judged,) = model.judge([_frames([shade] * 4)])["p_fake"]
        assert step.p_fake == pytest.approx(judged, abs=0.01)
    first, second = steps[0].p_fake, steps[1].p_fake
    older = math.exp(-1 / 2)
    mean = (older * first + second) / (older + 1)
    assert steps[1].running == pytest.approx(mean)
    assert [step.n_frames for step in steps] == [7, 15, 23]


def test_moments_without_a_score_have_a_reason_and_the_running_score_fades(model, clip):
    *_, second, third = watch(model, clip, window=2.0)
    assert math.isnan(third.p_fake)
    assert third.reason
    assert third.running == pytest.approx(second.running)  # known a second ago
    *_, forgotten = watch(model, clip, window=0.2)
    assert math.isnan(forgotten.running)
    assert forgotten.verdict == ""
    assert forgotten.to_dict()["running"] is None


def _channel(number):
    """P(fake) is the mean of one colour channel; a black video has no score."""
    return lambda videos: _brightness([video[..., number] for video in videos])


def test_moments_in_doubt_are_unsure_and_say_why(tmp_path):
    draw = np.random.default_rng(0)
    videos = [_frames(draw.integers(s - 20, s + 20, 4)) for s in SHADES]
    members = [
        (n, CallableDetector(_channel(i))) for i, n in enumerate(["red", "green"])
    ]
    model = DeepfakeEnsemble(members, resampling=2, verbose=False)
    model.fit(videos, SHADES > 100, groups=np.arange(16) % 8)
    frames = _frames([200] * 8 + [230] * 8 + [0] * 8)
    frames[8:16, ..., 1] = 90  # of all training videos red and green agree
    path = write_video(tmp_path / "clip.mp4", frames, fps=8, crf=0)
    agree, apart, black = watch(model, path)
    assert (agree.verdict, agree.doubts) == ("FAKE", "")
    assert apart.running > 0.5
    assert (apart.verdict, apart.scan.verdict) == ("UNSURE", "UNSURE")
    assert "members disagree" in apart.doubts
    assert apart.to_dict()["doubts"] == apart.doubts == apart.scan.doubts
    assert math.isnan(black.p_fake)  # so that the running score is what it was
    assert (black.verdict, black.doubts) == ("UNSURE", apart.doubts)
    *_, forgotten = watch(model, path, window=0.2)
    assert (forgotten.verdict, forgotten.doubts) == ("", "")
    plain = list(watch(model, path, doubts=False))
    assert [step.verdict for step in plain] == ["FAKE"] * 3
    assert plain[1].doubts == apart.doubts


def test_what_speaks_against_a_file_is_said_of_its_moments(tmp_path):
    model = _fitted(CallableDetector(_brightness), n_frames=1)
    pages = tmp_path / "pages.tiff"
    bright, dark = (Image.fromarray(frame) for frame in _frames([225, 60]))
    bright.save(pages, save_all=True, append_images=[dark])
    (step,) = watch(model, pages)
    assert (step.verdict, step.scan.verdict) == ("UNSURE", "FAKE")
    assert step.doubts == "it holds several pictures, and the first was looked at"
    assert [step.verdict for step in watch(model, pages, doubts=False)] == ["FAKE"]


def _cut(path, whole):
    os.truncate(path, len(whole) - 100)


def _written_in(path, whole):
    with open(path, "r+b") as file:
        file.seek(len(whole) // 2)
        file.write(bytes(9))
    os.utime(path, (0, 0))


def _appended_to(path, whole):
    with open(path, "ab") as file:
        file.write(whole)


def _replaced(path, whole):
    path.with_suffix(".new").write_bytes(whole)
    os.replace(path.with_suffix(".new"), path)


@pytest.mark.parametrize("change", [_cut, _written_in, _appended_to, _replaced])
def test_a_file_that_changes_while_it_is_watched_is_in_doubt(change, tmp_path):
    model = _fitted(CallableDetector(_brightness), n_frames=16)
    path = write_video(tmp_path / "clip.mp4", _frames([200] * 80), fps=8, crf=0)
    steps = watch(model, path)
    assert "replaced" not in next(steps).doubts
    change(path, path.read_bytes())
    seen = []
    with pytest.raises(VideoReadError, match="replaced while it was looked at"):
        seen.extend(steps)
    for step in seen:
        assert step.verdict == "UNSURE"
        assert step.doubts.startswith("it was replaced while it was looked at")


def test_a_picture_of_another_size_than_in_training_is_unsure_in_the_banner(
    model, tmp_path, monkeypatch
):
    banners = []
    monkeypatch.setattr(
        "ensemble.inspection.watch.draw_frame",
        lambda image, boxes, banner, note: banners.append(banner) or image,
    )
    path = write_video(tmp_path / "large.mp4", _frames([200] * 16, (240, 320)), fps=8)
    steps = list(watch(model, path, on_frame=lambda *frame: None))
    assert {step.verdict for step in steps} == {"UNSURE"}
    assert all("shorter side of the frame 240" in step.doubts for step in steps)
    text, verdict = banners[-1]
    assert text.startswith("UNSURE")
    assert verdict == "UNSURE"
    (step, *_) = watch(model, path, doubts=False)
    assert (step.verdict, step.scan.verdict) == ("FAKE", "FAKE")


def test_a_running_score_starts_unknown():
    running = RunningScore(10)
    assert math.isnan(running.add(0.0, np.nan))
    assert running.add(1.0, 0.25) == 0.25


def test_scores_of_a_file_are_the_same_in_every_run(model, clip):
    once, again = (
        [(s.seconds, s.p_fake, s.running) for s in watch(model, clip)] for _ in "ab"
    )
    np.testing.assert_array_equal(once, again)


def test_every_frame_is_drawn_and_the_store_is_left_alone(clip, tmp_path):
    model = _fitted(CallableDetector(_brightness), store=tmp_path / "store")
    before = sorted((tmp_path / "store").rglob("*"))
    drawn = []
    steps = list(watch(model, clip, on_frame=lambda *frame: drawn.append(frame)))
    assert len(drawn) == 24
    assert drawn[0][0].shape == (48, 64, 3)
    assert (drawn[0][0] != 60).any()  # the banner
    assert sorted((tmp_path / "store").rglob("*")) == before
    assert len(steps) == 3
    assert len(list(watch(model, clip, max_seconds=0.9))) == 1


@pytest.mark.slow
def test_memory_does_not_grow_with_time(model, tmp_path):
    def peak(n_seconds):
        frames = (np.full((96, 128, 3), 90, np.uint8) for _ in range(8 * n_seconds))
        path = write_video(tmp_path / f"{n_seconds}.mp4", frames, fps=8)
        tracemalloc.start()
        for _ in watch(model, path):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(2)  # what is loaded once
    short, long = peak(5), peak(40)
    assert long - short < 0.1 * 35 * 8 * 96 * 128 * 3  # of the frames in between


@pytest.mark.slow
def test_a_slow_scorer_does_not_hold_up_a_live_picture(serve):
    def slow(videos):
        time.sleep(0.7 * is_fitted)
        return _brightness(videos)

    is_fitted = False
    model = _fitted(CallableDetector(slow))
    is_fitted = True

    drawn = []
    steps = list(
        watch(
            model, serve(90, fps=30), every=0.2,
            on_frame=lambda image, seconds: drawn.append(seconds),
        )
    )  # fmt: skip
    assert 2 <= len(steps) <= 8  # in three seconds, one at a time
    assert steps[-1].n_frames > 5 * len(steps)
    assert len(drawn) + steps[-1].n_skipped <= 90
    assert all(step.latency >= 0.7 for step in steps)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"every": 0}, "every must be above 0 seconds; got 0"),
        ({"frames": 0}, "frames must be a whole number from 1; got 0"),
        ({"window": -1}, "window must be above 0 seconds; got -1"),
    ],
)
def test_unusable_settings_are_named(model, clip, settings, said):
    with pytest.raises(ValueError, match=said):
        next(watch(model, clip, **settings))


def test_a_film_runs_as_fast_as_its_source(tmp_path):
    with FilmWriter(tmp_path / "film.mp4", 0) as film:
        for seconds in (0, 0.1, 0.11, 1.96):
            film.add(_frames([50])[0], seconds)
    info = probe_video(tmp_path / "film.mp4")
    assert (info.n_frames, info.seconds) == (50, 2.0)


def test_a_film_that_cannot_be_written_says_so(tmp_path):
    film = FilmWriter(tmp_path / "film.mp4", 0)
    film.add(np.zeros((48, 64, 3), np.uint8), 0)
    film.add(np.zeros((32, 64, 3), np.uint8), 1)
    with pytest.raises(ValueError, match="first one's shape"):
        film.close()
    assert not (tmp_path / "film.mp4").exists()


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.mark.slow
def test_the_command_prints_steps_and_writes_a_film(capsys, saved, clip, tmp_path):
    film = tmp_path / "seen.mp4"
    for _ in range(2):  # its own file may be replaced
        code, out, err = _run(
            capsys, "watch", clip, "--model", saved, "--json", "--annotate", film
        )
        assert code == 0
        steps = [json.loads(line) for line in out.splitlines()]
        assert [step["seconds"] for step in steps] == pytest.approx([0.75, 1.75, 2.75])
        assert {member["detector"] for member in steps[0]["members"]} == {"one"}
        assert "23 frames seen, 0 skipped" in err
        assert probe_video(film).n_frames == 24
    code, _, err = _run(capsys, "watch", clip, "-m", saved, "--annotate", clip)
    assert code == 2
    assert "is one of the inputs" in err
    assert probe_video(clip).n_frames == 24


@pytest.mark.slow
def test_the_command_says_doubts_and_goes_without(capsys, saved, tmp_path):
    path = write_video(tmp_path / "large.mp4", _frames([200] * 8, (240, 320)), fps=8)
    _, out, _ = _run(capsys, "watch", path, "-m", saved)
    assert "UNSURE" in out
    assert "shorter side of the frame 240" in out
    _, out, _ = _run(capsys, "watch", path, "-m", saved, "--no-doubts")
    assert "FAKE" in out
    assert "shorter side of the frame 240" in out


@pytest.mark.slow
def test_lines_for_people(capsys, saved, clip):
    code, out, _ = _run(capsys, "watch", clip, "-m", saved, "--seconds", "1.5", "-q")
    assert code == 0
    assert out.count("frames/s") == 2
    assert "P(fake) 0." in out


@pytest.mark.slow
def test_ctrl_c_ends_it_with_a_whole_film(saved, serve, tmp_path):
    film = tmp_path / "seen.mp4"
    command = [sys.executable, "-c", "from ensemble.cli import main; main()"]
    command += ["watch", serve(3000, fps=10)]
    command += ["--model", str(saved), "--annotate", str(film)]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "frames/s" in running.stdout.readline()  # it has begun
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert "frames seen" in err
    assert probe_video(film).n_frames > 5


@pytest.mark.slow
def test_without_a_screen_show_is_refused_before_any_work(
    capsys, saved, clip, monkeypatch
):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    code, _, err = _run(capsys, "watch", clip, "-m", saved, "--show")
    assert code == 2
    assert "--show needs a screen" in " ".join(err.replace("│", "").split())
