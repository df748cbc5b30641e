"""A run that was stopped while detectors score goes on where it was."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator

from base_models import (
    CallableDetector,
    FrequencyDetector,
    PrefitDetector,
    Store,
    VideoReadError,
    write_video,
)
from base_models.backbones import build_network
from base_models.detectors.bases.measured import FeatureDetector
from base_models.detectors.prefit import make_card
from base_models.video.paths import video_digest
from base_models.views import making
from ensemble import DeepfakeEnsemble, compare_strategies, out_of_fold_scores
from ensemble.scores import reasons

unwarned = pytest.mark.filterwarnings("ignore:.*was trained on")


def make_prefit(seed=3):
    torch.manual_seed(seed)
    network = build_network("test_resnet", weights=None)
    torch.nn.init.normal_(network.head.weight)
    card = make_card("test_resnet", "frame", 32, source="theirs.pth", trained_on=[])
    return PrefitDetector(card, n_frames=2, n_threads=1).with_network(network)


def make_videos():
    draw = np.random.default_rng(0)
    videos = list(draw.integers(0, 256, (12, 4, 32, 32, 3), np.uint8))
    return videos, np.arange(12) % 2, np.arange(12) // 2


def scores_of(member, videos, y, groups, store, **options):
    return out_of_fold_scores(
        {"theirs": member}, videos, y, groups=groups, store=store, **options
    )


def compared(member, videos, y, groups, store):
    return compare_strategies(
        {"theirs": member, "ours": make_prefit(4)},
        videos=videos,
        y=y,
        groups=groups,
        strategies=["soft"],
        n_folds=3,
        n_boot=10,
        store=store,
    ).members


class Looks:
    """Counts the videos that detectors look at; stops at one of them."""

    def __init__(self, monkeypatch, of, stop_at=None):
        self.count, self.stop_at = 0, stop_at
        original = of.score_views

        def score_views(detector, views, shared):
            if self.count == self.stop_at:
                raise KeyboardInterrupt
            self.count += 1
            return original(detector, views, shared)

        monkeypatch.setattr(of, "score_views", score_views)


@pytest.mark.slow_after(1)
@unwarned
@pytest.mark.parametrize(("run", "n_looks"), [(scores_of, 12), (compared, 24)])
def test_only_the_videos_that_lack_a_score_are_scored(
    run, n_looks, tmp_path, monkeypatch
):
    expected = run(make_prefit(), *make_videos(), tmp_path / "other")
    with monkeypatch.context() as patch:
        looks = Looks(patch, PrefitDetector, stop_at=4)
        with pytest.raises(KeyboardInterrupt):
            run(make_prefit(), *make_videos(), tmp_path / "store")
        assert looks.count == 4
    looks = Looks(monkeypatch, PrefitDetector)
    again = run(make_prefit(), *make_videos(), tmp_path / "store")
    assert looks.count == n_looks - 4
    np.testing.assert_array_equal(again, expected)


KILLED = """
import os, signal, sys, warnings
sys.path.insert(0, sys.argv[1])
from test_stopped_runs import PrefitDetector, make_prefit, make_videos, scores_of

warnings.simplefilter("ignore")
count, original = 0, PrefitDetector.score_views

def score_views(*given):
    global count
    count += 1
    if count == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*given)

PrefitDetector.score_views = score_views
scores_of(make_prefit(), *make_videos(), sys.argv[2])
"""


@pytest.mark.slow
def test_a_killed_process_keeps_what_it_has_scored(tmp_path, monkeypatch):
    here = os.path.dirname(__file__)
    command = [sys.executable, "-c", KILLED, here, str(tmp_path / "store")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    looks = Looks(monkeypatch, PrefitDetector)
    again = scores_of(make_prefit(), *make_videos(), tmp_path / "store")
    assert looks.count == 12 - 4
    expected = make_prefit().fake_score(make_videos()[0])
    np.testing.assert_array_equal(again["theirs"], expected)


def test_a_fold_goes_on_without_a_fit(tmp_path, monkeypatch):
    fits = []
    original = FeatureDetector._learn_from
    monkeypatch.setattr(
        FeatureDetector,
        "_learn_from",
        lambda *given: fits.append(1) or original(*given),
    )

    def run(store):
        member = FrequencyDetector(view="frame", n_frames=2)
        return scores_of(member, *make_videos(), store, resampling=3)

    expected = run(tmp_path / "other")
    fits.clear()
    with monkeypatch.context() as patch:
        Looks(patch, FrequencyDetector, stop_at=6)  # in the second fold of four videos
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "store")
    assert len(fits) == 2
    looks = Looks(monkeypatch, FrequencyDetector)
    again = run(tmp_path / "store")
    assert (len(fits), looks.count) == (3, 12 - 6)
    np.testing.assert_array_equal(again, expected)


def test_the_last_video_alone_may_fail_after_a_stop(tmp_path, monkeypatch):
    """The same error in every video of a run would be raised."""
    original = PrefitDetector._image_scores
    videos = make_videos()[0]
    fails = []

    def run(store):
        return scores_of(make_prefit(), *make_videos(), store)

    def image_scores(detector, view, shared):
        if (view.images[0] == broken).all():
            fails.append(1)
            raise ZeroDivisionError("odd pixels")
        return original(detector, view, shared)

    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(
            PrefitDetector,
            "_image_scores",
            lambda d, view, s: (
                seen.append(view.images[0].copy()) or original(d, view, s)
            ),
        )
        run(tmp_path / "first")
    broken = seen[-1]
    monkeypatch.setattr(PrefitDetector, "_image_scores", image_scores)
    expected = run(tmp_path / "other")
    with monkeypatch.context() as patch:
        Looks(patch, PrefitDetector, stop_at=11)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "store")
    again = run(tmp_path / "store")
    np.testing.assert_array_equal(again, expected)
    assert np.isnan(again["theirs"]).sum() == 1 < len(videos)
    assert reasons(again).equals(reasons(expected))


def test_an_error_of_every_video_is_still_raised(tmp_path, monkeypatch):
    def fails(*given):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(PrefitDetector, "_image_scores", fails)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        scores_of(make_prefit(), *make_videos(), tmp_path)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("verbose", [True, False])
def test_a_terminal_shows_how_far_the_scoring_is(tmp_path, monkeypatch, verbose):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    scores_of(make_prefit(), *make_videos(), tmp_path, verbose=verbose)
    assert ("theirs scoring" in screen.getvalue()) == verbose
    assert ("scoring by detectors" in screen.getvalue()) == verbose
    assert "fitting" not in screen.getvalue()


@unwarned
def test_frozen_detectors_that_learned_otherwise_are_others(tmp_path):
    videos, y, groups = make_videos()
    members = {
        name: FrozenEstimator(
            FrequencyDetector(view="frame", n_frames=2).fit(videos, t)
        )
        for name, t in (("right", y), ("wrong", 1 - y))
    }
    expected = {
        name: member.estimator.fake_score(videos) for name, member in members.items()
    }
    assert not np.allclose(expected["right"], expected["wrong"])
    table = out_of_fold_scores(
        members, videos, y, groups=groups, resampling=3, store=tmp_path
    )
    for name in members:
        np.testing.assert_array_equal(table[name], expected[name])
    model = DeepfakeEnsemble(
        {"right": members["right"]}, store=tmp_path, verbose=False
    ).fit(videos, y, groups=groups)
    np.testing.assert_array_equal(
        model.oof_scores_["right"].sort_values(), np.sort(expected["right"])
    )


class Replacing(CallableDetector):
    """While it is fitted, another program writes to a training video."""

    def fit(self, videos, y, groups=None, sample_weight=None):
        path = Path(videos[0])
        path.write_bytes(path.read_bytes() + b"more")
        return super().fit(videos, y, groups, sample_weight)


def test_a_fit_on_files_that_are_replaced_meanwhile_is_not_kept(tmp_path):
    videos = [str(tmp_path / f"{number}.mp4") for number in range(8)]
    for number, video in enumerate(videos):
        Path(video).write_bytes(b"video %d" % number)
    store = Store(tmp_path / "store")
    with pytest.raises(
        VideoReadError, match=r"\.mp4: it was replaced while the fit ran"
    ):
        out_of_fold_scores(
            {"one": Replacing(len)}, videos, [0, 1] * 4, resampling=2, store=store
        )
    assert not store.keys("member")
    assert not store.keys("scores")


def test_a_file_that_is_overwritten_as_a_fit_looks_at_it_is_left_out(
    tmp_path, monkeypatch
):
    videos, y, groups = make_videos()
    paths = [str(tmp_path / f"{number}.mp4") for number in range(12)]
    for path, video in zip(paths, videos, strict=True):
        write_video(path, video, preset="ultrafast")
    before, other = video_digest(paths[4]), Path(paths[5]).read_bytes()
    plain = making.sample_clips

    def overwriting(video, *given, **more):
        sample = plain(video, *given, **more)
        if video == paths[4] and video_digest(video) == before:
            Path(video).write_bytes(other + b"more")  # in place, of another label
        return sample

    monkeypatch.setattr(making, "sample_clips", overwriting)
    member = {"frequency": FrequencyDetector("frame", 32, n_frames=2)}
    model = DeepfakeEnsemble(member, resampling=2, store=tmp_path / "s", verbose=False)
    with pytest.warns(UserWarning, match=r"1 of 12 videos lack .*it was replaced"):
        model.fit(paths, y, groups=groups)
    scores = model.oof_scores_["frequency"]
    assert scores.index[scores.isna()].tolist() == [paths[4]]
    assert "it was replaced" in reasons(model.oof_scores_)["reason"].item()
    assert before in model.fit_record_.training.digests
    assert video_digest(paths[4]) not in model.fit_record_.training.digests
    monkeypatch.undo()  # the next fit is of what is there now, and finds nothing wrong
    again = model.fit(paths, y, groups=groups)
    assert again.oof_scores_.notna().all(axis=None)
