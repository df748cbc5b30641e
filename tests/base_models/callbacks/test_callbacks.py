"""Callbacks hear of every fold and epoch, wherever it ran, and change nothing."""

import sys

import joblib
import numpy as np
import pytest
import torch

from base_models import FrameDetector, FrequencyDetector, TrainingRecipe
from base_models.callbacks import TensorBoardCallback, TrainingEvent
from ensemble import DeepfakeEnsemble


def network(**settings):
    settings = {
        "view": "frame",
        "image_size": 32,
        "n_frames": 2,
        "epochs": 2,
    } | settings
    settings |= {"weights": None, "frames_per_epoch": 1, "augment": False}
    return FrameDetector(
        "test_resnet",
        pseudo_fakes=False,
        device="cpu",
        n_threads=1,
        random_state=0,
        **settings,
    )


def measured():
    return FrequencyDetector("frame", image_size=32, n_frames=2, pseudo_fakes=False)


@pytest.fixture
def ensemble_of_two(tmp_path):
    def make(store, n_jobs=None):
        return DeepfakeEnsemble(
            {"network": network(), "measured": measured()},
            resampling=2,
            n_jobs=n_jobs,
            store=tmp_path / store,
            verbose=False,
        )

    return make


def test_a_detector_tells_of_each_epoch(toy_videos):
    videos, y, groups = toy_videos
    events = []
    recipe = TrainingRecipe(validation=0.4)
    detector = network(recipe=recipe).fit(videos, y, groups, callbacks=[events.append])
    assert [event.kind for event in events] == [
        "fit_begin",
        "epoch",
        "epoch",
        "fit_end",
    ]
    assert {event.detector for event in events} == {"test_resnet_frame"}
    assert [event.epoch for event in events] == [None, 1, 2, None]
    for event, entry in zip(events[1:3], detector.history_, strict=True):
        told = dict(event.metrics)
        assert told.pop("steps_per_second") > 0
        assert told == {key: entry[key] for key in entry if key != "epoch"}
        assert {"loss", "learning_rate", "seconds", "validation_auc"} <= set(told)
    assert events[-1].artifacts["history"] == detector.history_
    assert events[-1].metrics["seconds"] > 0


@pytest.mark.slow
def test_callbacks_change_no_score(toy_videos):
    videos, y, groups = toy_videos

    def meddle(event):
        torch.manual_seed(7)
        np.random.seed(7)  # noqa: NPY002
        torch.rand(3)

    plain = network().fit(videos, y, groups).fake_score(videos)
    watched = network().fit(videos, y, groups, callbacks=[meddle]).fake_score(videos)
    np.testing.assert_array_equal(watched, plain)


def kinds(events):
    return [(event.detector, event.fold, event.kind) for event in events]


PLACES = ["split 1 of 2", "split 2 of 2", "the fit on all videos"]
EPOCHS = ["fit_begin", "epoch", "epoch", "fit_end"]


@pytest.mark.slow
def test_an_ensemble_tells_of_every_fold_and_of_itself(toy_videos, ensemble_of_two):
    videos, y, groups = toy_videos
    events, fits = [], []
    model = ensemble_of_two("a").fit(videos, y, groups, callbacks=[events.append])
    fits = [("network", place, kind) for place in PLACES for kind in EPOCHS]
    ends = "fit_begin", "fit_end"
    fits += [("measured", place, kind) for place in PLACES for kind in ends]
    assert kinds(events) == [*fits, ("", "", "ensemble_end")]
    assert events[-1].artifacts["oof_scores"] is model.oof_scores_
    assert set(events[-1].metrics) == {"network", "measured"}
    found = []
    ensemble_of_two("a").fit(videos, y, groups, callbacks=[found.append])
    assert {kind for *_, kind in kinds(found)} == {"found", "ensemble_end"}
    assert len(found) == 2 * 3 + 1
    side_by_side = []
    with joblib.parallel_config("threading"):  # threads hear as little as processes
        ensemble_of_two("b", 2).fit(videos, y, groups, callbacks=[side_by_side.append])
    assert sorted(kinds(side_by_side)) == sorted(kinds(events))
    of_network = [place for place in kinds(side_by_side) if place[0] == "network"]
    for place in PLACES:
        assert [kind for _, at, kind in of_network if at == place] == EPOCHS


@pytest.mark.slow
def test_events_come_from_other_processes(toy_videos, ensemble_of_two, monkeypatch):
    monkeypatch.setattr("base_models.runtime.prefetch.n_cores", lambda: 2)
    videos, y, groups = toy_videos
    events = []
    ensemble_of_two("c", 2).fit(videos, y, groups, callbacks=[events.append])
    of_network = [place for place in kinds(events) if place[0] == "network"]
    for place in PLACES:
        assert [kind for _, at, kind in of_network if at == place] == EPOCHS


def test_one_that_fails_is_named_and_not_called_again(toy_videos):
    videos, y, groups = toy_videos
    calls, heard = [], []

    def full(event):
        calls.append(event)
        raise OSError("disk full")

    with pytest.warns(
        UserWarning, match=r"callback .*full.* at 'fit_begin'.*disk full"
    ):
        detector = measured().fit(videos, y, groups, callbacks=[full, heard.append])
    assert len(calls) == 1
    assert [event.kind for event in heard] == ["fit_begin", "fit_end"]
    assert detector.fake_score(videos).shape == (24,)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (print, r"must be a list of callables; got <built-in function print>"),
        ([3], r"must be callable with one TrainingEvent; got 3"),
        ([TensorBoardCallback], r"got <class .*TensorBoardCallback"),
    ],
)
def test_what_is_no_callback_is_refused_before_any_work(
    toy_videos, ensemble_of_two, callbacks, message
):
    videos, y, groups = toy_videos
    with pytest.raises(TypeError, match=message):
        ensemble_of_two("d").fit(videos, y, groups, callbacks=callbacks)


def test_tensorboard_is_asked_for_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'deepfake-ensemble\[tensorb"):
        TensorBoardCallback(tmp_path)


@pytest.mark.slow  # what it needs is in the extra dev-slow
def test_tensorboard_reads_what_was_written(tmp_path, toy_videos, ensemble_of_two):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    videos, y, groups = toy_videos
    callback, events = TensorBoardCallback(tmp_path / "runs"), []
    model = ensemble_of_two("e")
    model.fit(videos, y, groups, callbacks=[callback, events.append])
    callback.close()
    run = accumulator.EventAccumulator(str(tmp_path / "runs/network/split_1_of_2"))
    run.Reload()
    losses = [entry.value for entry in run.Scalars("test_resnet_frame/loss")]
    told = [e.metrics["loss"] for e in events if e.kind == "epoch"][:2]
    np.testing.assert_allclose(losses, told, rtol=1e-6)
    whole = accumulator.EventAccumulator(str(tmp_path / "runs/ensemble")).Reload()
    (entry,) = whole.Scalars("out-of-fold auc/measured")
    assert entry.value == pytest.approx(events[-1].metrics["measured"])


def test_an_event_says_what_it_is():
    event = TrainingEvent("epoch", "sound", "split 1 of 2", epoch=3)
    assert (event.kind, event.epoch, event.metrics) == ("epoch", 3, {})
