"""What goes on without a detector that fails, or videos that none can look at."""

import os
import re

import joblib
import numpy as np
import pytest
from memoriser import Memoriser
from sklearn.model_selection import PredefinedSplit
from typer.testing import CliRunner

import ensemble
from base_models import CallableDetector, FrameDetector, write_video
from ensemble import DeepfakeEnsemble, out_of_fold_scores
from ensemble.cli.app import app
from ensemble.combiners import Voting
from ensemble.errors import FailedDetectorsError
from ensemble.resampling import GroupBootstrap
from ensemble.scores.provenance import Provenance

DRAW = np.random.default_rng(0)
Y, GROUPS = np.arange(16) % 2, np.arange(16) // 2
VIDEOS = [
    (DRAW.integers(0, 160, (2, 4, 4, 3)) + 60 * fake).astype(np.uint8) for fake in Y
]


def _bright(videos):
    return [0.1 + 0.8 * np.mean(video) / 255 for video in videos]


class Fragile(Memoriser):
    """Fails where its first video is among those to learn from, in its own way."""

    def __init__(self, error=RuntimeError, channel=1, n_neighbors=1):
        super().__init__(channel, n_neighbors)
        self.error = error

    def fit(self, videos, y):
        if any(np.array_equal(video, VIDEOS[0]) for video in videos):
            if self.error is None:
                os._exit(9)
            raise self.error("CUDA out of memory")
        return super().fit(videos, y)


def _members(*more):
    return {"bright": CallableDetector(_bright), "knows": Memoriser(), **dict(more)}


def _fitted(members, strategy="stacking", **options):
    resampling = {"stacking": 4, "bagging": GroupBootstrap(5, random_state=0)}
    resampling = resampling.get(strategy)
    model = DeepfakeEnsemble(
        members, strategy, resampling=resampling, verbose=False, **options
    )
    return model.fit(VIDEOS, Y, groups=GROUPS)


def _same(model, other):
    np.testing.assert_array_equal(model.oof_scores_, other.oof_scores_)
    np.testing.assert_array_equal(model.fake_score(VIDEOS), other.fake_score(VIDEOS))
    np.testing.assert_array_equal(model.oof_fake_score_, other.oof_fake_score_)
    assert list(model.detectors_) == list(other.detectors_)
    assert model.card_.summary().startswith(other.card_.summary()[:40])


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("strategy", ["stacking", "bagging", "blending"])
def test_a_fit_goes_on_as_if_the_detector_that_failed_had_not_been_there(strategy):
    members = _members(("fragile", Fragile()))
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        _fitted(members, strategy)
    with pytest.warns(UserWarning, match=r"fragile failed \(.* CUDA out of memory\)"):
        model = _fitted(members, strategy, on_error="skip")
    _same(model, _fitted(_members(), strategy))
    assert list(model.failed_detectors_) == ["fragile"]
    assert not model.skipped_videos_


@pytest.mark.filterwarnings("ignore:fragile failed")
def test_threads_leave_out_the_same():
    with joblib.parallel_config("threading", n_jobs=2):
        model = _fitted(_members(("fragile", Fragile(MemoryError))), on_error="skip")
    _same(model, _fitted(_members()))
    assert re.fullmatch(
        r"split [1-4] of 4: MemoryError: CUDA out of memory",
        model.failed_detectors_["fragile"],
    )


@pytest.mark.slow
def test_a_detector_that_ends_its_process_each_time_is_left_out(tmp_path):
    members = {"knows": Memoriser(), "fragile": Fragile(None)}
    with pytest.warns(UserWarning, match="fragile failed .*ended the process"):
        model = _fitted(members, "blending", on_error="skip", n_jobs=2)
    _same(model, _fitted({"knows": Memoriser()}, "blending"))


def test_none_left_is_an_error_that_names_all():
    members = {"one": Fragile(), "two": Fragile(ValueError)}
    with pytest.raises(FailedDetectorsError, match="no detector is left") as caught:
        _fitted(members, on_error="skip")
    assert caught.value.detectors.keys() == {"one", "two"}


@pytest.mark.filterwarnings("ignore:fragile failed")
def test_a_combiner_that_cannot_do_without_names_who_failed():
    members = _members(("fragile", Fragile()))
    with pytest.raises(FailedDetectorsError, match=r"shape \(2,\).*fragile failed"):
        _fitted(members, on_error="skip", combiner=Voting(weights=[1, 1, 2]))


@pytest.mark.filterwarnings("ignore:fragile failed")
def test_out_of_fold_scores_have_no_half_column():
    members, options = _members(("fragile", Fragile())), {"resampling": 4}
    table = out_of_fold_scores(members, VIDEOS, Y, GROUPS, on_error="skip", **options)
    expected = out_of_fold_scores(_members(), VIDEOS, Y, GROUPS, **options)
    assert table.equals(expected)
    assert Provenance.of(table).failed_detectors.keys() == {"fragile"}


def test_other_ways_to_go_on_are_refused():
    with pytest.raises(ValueError, match="on_error must be one of"):
        _fitted(_members(), on_error="ignore")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Twelve clips, of which the second and the last are poisoned."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(12):
        shade = 60 + 100 * (number % 2) + 3 * number
        frames = np.full((4, 32, 32, 3), shade, np.uint8)
        frames += DRAW.integers(0, 20, frames.shape, np.uint8)
        write_video(folder / f"{number:02}.mp4", frames, fps=10)
    whole = (folder / "01.mp4").read_bytes()
    (folder / "01.mp4").write_bytes(whole[:200])
    (folder / "11.mp4").write_bytes(b"")
    return [str(folder / f"{number:02}.mp4") for number in range(12)]


def _look():
    return FrameDetector(
        "test_resnet", "frame", train="head", weights=None, image_size=32, n_frames=2,
        random_state=0,
    )  # fmt: skip


class FragileLook(FrameDetector):
    """Fails in every fit."""

    def fit(self, *arguments, **named):
        raise FloatingPointError("the loss became nan in epoch 2")


@pytest.mark.filterwarnings("ignore:fragile failed")
def test_what_was_left_out_is_as_if_never_there_and_everything_says_so(clips, tmp_path):
    y, groups = np.arange(12) % 2, np.arange(12) // 2
    options = {"resampling": 3, "verbose": False, "store": tmp_path}
    fragile = FragileLook(
        "test_resnet", "frame", weights=None, image_size=32, n_frames=2
    )
    members = {"fragile": fragile, "look": _look()}
    model = DeepfakeEnsemble(members, on_error="skip", **options)
    with pytest.warns(UserWarning, match=r"2 videos that no detector can look at"):
        model.fit(clips, y, groups=groups)
    good = [row for row in range(12) if row not in (1, 11)]
    expected = DeepfakeEnsemble({"look": _look()}, **options).fit(
        [clips[row] for row in good], y[good], groups=groups[good]
    )
    assert model.oof_scores_.equals(expected.oof_scores_)
    np.testing.assert_array_equal(
        model.fake_score(clips[:1]), expected.fake_score(clips[:1])
    )
    assert [name[-6:] for name in model.skipped_videos_] == ["01.mp4", "11.mp4"]
    assert "empty" in model.skipped_videos_[clips[11]]
    model.save(tmp_path / "model.dfe")
    loaded = ensemble.load(tmp_path / "model.dfe")
    why = "split 1 of 3: FloatingPointError: the loss became nan in epoch 2"
    for each in (model, loaded):
        assert each.failed_detectors_ == {"fragile": why}
        assert "without fragile" in repr(each)
        assert each.card_.summary().count("Left out: fragile, which failed in the fit; "
                                          "2 videos") == 1  # fmt: skip
    assert loaded.skipped_videos_ == model.skipped_videos_
    lines = CliRunner().invoke(app, ["verify", str(tmp_path / "model.dfe")]).output
    assert f"fragile failed and is not in it: {why}" in lines
    assert f"{clips[11]} was left out of training: " in lines
    rows = [(np.arange(6), np.arange(6, 12)), (np.arange(6, 12), np.arange(6))]
    scored = out_of_fold_scores(
        {"look": _look()}, clips, y, groups, resampling=rows, store=tmp_path,
        on_error="skip",
    )  # fmt: skip
    assert scored.index.tolist() == [clips[row] for row in good]


def test_a_weight_for_each_video_is_asked_for_where_videos_are_left_out(clips):
    model = DeepfakeEnsemble({"look": _look()}, resampling=2, on_error="skip")
    with pytest.raises(ValueError, match=r"one entry per video; got shape \(11,\)"):
        model.fit(clips, np.arange(12) % 2, np.arange(12) // 2, np.ones(11))


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_a_splitter_by_rows_names_the_videos_that_it_counts_on(clips):
    rows = PredefinedSplit(np.arange(12) // 2 % 3)
    model = DeepfakeEnsemble({"look": _look()}, resampling=rows, on_error="skip")
    with pytest.raises(ValueError, match=r"row .*left out before: 2 videos .*01\.mp4"):
        model.fit(clips, np.arange(12) % 2, np.arange(12) // 2)


def test_a_class_of_which_nothing_is_left_is_named(clips):
    y = np.zeros(12, int)
    y[[1, 11]] = 1
    model = DeepfakeEnsemble({"look": _look()}, resampling=2, on_error="skip")
    with pytest.raises(ValueError, match=r"no fake video is left .* 2 videos"):
        model.set_params(verbose=False).fit(clips, y, groups=np.arange(12))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:left out of training", "ignore:no groups given")
def test_the_command_ends_with_1_and_says_last_what_was_left_out(clips, tmp_path):
    lines = [f"{clip},{row % 2},{row // 2}" for row, clip in enumerate(clips)]
    table = tmp_path / "videos.csv"
    table.write_text("\n".join(["path,label,group", *lines]))
    words = (
        f"fit {table} --out {tmp_path / 'model.dfe'} --backbones test_resnet --views "
        f"frame --train head --weights none --image-size 32 --n-frames 2 --folds 2 "
        f"--store {tmp_path / 'store'} --quiet --on-error skip"
    )
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 1, done.output
    last = done.output.strip().split("\n")[-1]
    assert last.startswith("2 of 12 videos were left out, since no detector could look")
    assert last.endswith("model.dfe lists them.")


@pytest.mark.slow  # the quicker ones hold that the figures are right
@pytest.mark.filterwarnings("ignore:.* lack a view", "ignore:.*videos of 3 groups")
def test_a_comparison_ends_with_1_where_videos_were_not_judged(clips, tmp_path):
    lines = [f"{clip},{row % 2},{row // 2}" for row, clip in enumerate(clips)]
    table = tmp_path / "videos.csv"
    table.write_text("\n".join(["path,label,group", *lines]))
    words = (
        f"compare {table} --csv {tmp_path / 'table.csv'} --backbones test_resnet "
        "--views frame --train head --weights none --image-size 32 --n-frames 2 "
        f"--folds 2 --draws 10 --store {tmp_path / 'store'} --quiet --strategies soft"
    )
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 1, done.output
    assert "2 of 12 videos have no score: not judged" in done.output
