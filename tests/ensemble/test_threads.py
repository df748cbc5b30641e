import random

import joblib
import numpy as np
import pytest
import torch
from sklearn.utils import check_random_state
from torch import nn

from base_models import (
    DivergedError,
    FrameDetector,
    FrequencyDetector,
    LSTMDetector,
    Store,
    TorchDetector,
    TrainingRecipe,
)
from base_models.compute import fixed_threads, repeatable
from ensemble import out_of_fold_scores

QUICK = {"image_size": 32, "n_frames": 2, "n_threads": 1, "device": "cpu"}
TRAIN = QUICK | {
    "epochs": 2, "frames_per_epoch": 1, "batch_size": 8, "learning_rate": 0.01,
}  # fmt: skip


def detectors():
    """One of each kind that draws: weights, dropout, frames, foreign functions."""
    with repeatable(0, 1):  # the module starts as it is
        dropout = nn.Sequential(
            nn.AvgPool2d(8), nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 1)
        )
    return {
        "mesonet": FrameDetector("mesonet4", "frame", dropout=0.3, **TRAIN),
        "other": FrameDetector("mesonet4", "frame", augment=tinted, **TRAIN),
        "head": FrameDetector("test_resnet", "frame", "head", None, **QUICK),
        "module": TorchDetector(dropout, "frame", **TRAIN),
        "lstm": LSTMDetector(
            "test_resnet", "frame", None, hidden_size=4, epochs=2, **QUICK
        ),
        "frequency": FrequencyDetector("frame", image_size=32, n_frames=2),
    }


def tinted(image, draw, landmarks):
    """Change an image by what the global generators draw."""
    shift = (
        check_random_state(None).randint(20)
        + random.randrange(20)
        + int(torch.randint(20, ()))
    )
    return np.clip(image + shift, 0, 255).astype(np.uint8)


def fitted(videos, y, groups, folder, seed, n_jobs=None, backend="loky", which=None):
    """Return the out-of-fold scores and all networks that were stored."""
    named = {k: v for k, v in detectors().items() if which is None or k in which}
    with joblib.parallel_config(backend):
        table = out_of_fold_scores(
            named,
            videos,
            y,
            groups,
            resampling=2,
            n_jobs=n_jobs,
            random_state=seed,
            store=folder,
        )
    store = Store(folder)
    return table, {key: store.get("member", key)[0] for key in store.keys("member")}


def assert_same(one, other):
    np.testing.assert_array_equal(one[0], other[0])
    assert one[1].keys() == other[1].keys()
    for key, arrays in one[1].items():
        for name, value in arrays.items():
            np.testing.assert_array_equal(value, other[1][key][name], err_msg=name)


@pytest.fixture
def many_cores(monkeypatch):
    """So that fits do run side by side, on any machine."""
    monkeypatch.setattr("base_models.runtime.parallel.n_cores", lambda: 8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_threads_give_the_scores_and_networks_of_a_sequential_fit(
    toy_videos, tmp_path, many_cores, seed
):
    alone = fitted(*toy_videos, tmp_path / "alone", seed)
    side_by_side = fitted(*toy_videos, tmp_path / "threads", seed, 4, "threading")
    assert_same(alone, side_by_side)


@pytest.mark.slow
def test_processes_give_the_scores_and_networks_of_a_sequential_fit(
    toy_videos, tmp_path, many_cores
):
    which = ("mesonet", "head", "lstm", "frequency")
    alone = fitted(*toy_videos, tmp_path / "alone", 0, which=which)
    side_by_side = fitted(*toy_videos, tmp_path / "loky", 0, 2, which=which)
    assert_same(alone, side_by_side)


@pytest.mark.slow
def test_another_order_of_videos_gives_the_same_networks_in_threads(
    toy_videos, tmp_path, many_cores
):
    videos, y, groups = toy_videos
    order = np.random.default_rng(0).permutation(len(videos))
    turned = [videos[row] for row in order], y[order], groups[order]
    which = ("mesonet", "head", "lstm")
    alone = fitted(*toy_videos, tmp_path / "alone", 0, which=which)
    other = fitted(*turned, tmp_path / "turned", 0, 3, "threading", which)
    np.testing.assert_array_equal(alone[0].to_numpy()[order], other[0])
    assert_same((0, alone[1]), (0, other[1]))


def process_settings():
    return (
        torch.get_num_threads(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.get_rng_state().tolist(),
        check_random_state(None).get_state()[1].tolist(),
        random.getstate(),
    )


@pytest.mark.parametrize("learning_rate", [0.01, 1e30])
def test_a_fit_leaves_the_process_as_it_was_also_when_it_fails(
    toy_videos, tmp_path, learning_rate
):
    videos, y, _ = toy_videos
    torch.backends.cudnn.benchmark = True
    before = process_settings()
    detector = detectors()["other"].set_params(
        learning_rate=learning_rate, random_state=0, store=tmp_path
    )
    try:
        detector.fit(videos, y)
    except DivergedError:
        assert learning_rate > 1
    else:
        detector.predict_proba(videos[:2])
    after = process_settings()
    torch.backends.cudnn.benchmark = False
    assert after == before


@pytest.mark.slow
def test_threads_leave_the_process_as_it_was(toy_videos, tmp_path, many_cores):
    before = process_settings()
    fitted(*toy_videos, tmp_path, 0, 3, "threading", ("mesonet", "head", "module"))
    assert process_settings() == before


def test_settings_of_the_process_belong_to_one_thread_at_a_time():
    def threads_seen(wanted):
        seen = []
        for _ in range(20):
            with fixed_threads(wanted):
                seen.append(torch.get_num_threads())
        return set(seen)

    def drawn(seed):
        numbers = []
        for _ in range(20):
            with repeatable(seed, 1):
                numbers.append((float(torch.rand(())), check_random_state(None).rand()))
        return set(numbers)

    before = torch.get_num_threads()
    run = joblib.Parallel(4, backend="threading")
    assert run(joblib.delayed(threads_seen)(n) for n in (1, 2, 3, 2)) == [
        {1}, {2}, {3}, {2},
    ]  # fmt: skip
    assert all(len(each) == 1 for each in run(joblib.delayed(drawn)(s) for s in [1, 2]))
    assert torch.get_num_threads() == before


def test_what_a_foreign_augmentation_draws_is_the_same_beside_dropout(toy_videos):
    videos, y, _ = toy_videos

    def weights():
        detector = FrameDetector(
            "mesonet4", "frame", dropout=0.5, augment=tinted, random_state=3, **TRAIN
        )
        return detector.fit(videos, y).module_.state_dict()

    first = weights()
    for _ in range(2):
        again = weights()
        assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.slow
def test_a_member_that_diverges_is_named_and_costs_the_others_nothing(
    toy_videos, tmp_path, monkeypatch
):
    videos, y, groups = toy_videos
    good = FrameDetector("mesonet4", "frame", **TRAIN)
    wild = FrameDetector(
        "mesoinception4",
        "frame",
        recipe=TrainingRecipe(warmup=0.0),
        **TRAIN | {"learning_rate": 1e30},
    )
    how = {"groups": groups, "resampling": 2, "store": tmp_path}
    message = "mesoinception4_frame: .* epoch 1 of 2; lower learning_rate"
    with pytest.raises(DivergedError, match=message):
        out_of_fold_scores({"good": good, "wild": wild}, videos, y, **how)

    def again(*args):
        raise AssertionError("it was fitted before")

    monkeypatch.setattr(FrameDetector, "fit", again)
    table = out_of_fold_scores({"good": good}, videos, y, **how)
    assert table["good"].notna().all()
