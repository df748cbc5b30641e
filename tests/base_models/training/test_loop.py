import copy
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from torch import nn

from base_models import SlowFitWarning, TrainingRecipe
from base_models.compute import repeatable
from base_models.networks.forward import forward
from base_models.store import KeptState, Store
from base_models.training import (
    balanced_loss,
    loop,
    seconds_per_step,
    steps_per_epoch,
    train_network,
    warn_if_slow,
)
from base_models.training.batches import Batch
from base_models.training.image_batches import ImageSamples
from base_models.views import ViewRecipe, Views

PLAIN = {"head_epochs": 0, "label_smoothing": 0.0, "validation": 0}


class SmallNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()
        )
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(784, 2)

    def forward(self, images):
        return self.head(self.dropout(self.backbone(images)))


def make_network(seed=0):
    torch.manual_seed(seed)
    return SmallNetwork()


def scale(images):
    return images.permute(0, 3, 1, 2).float() / 255


@pytest.fixture
def training_views(toy_videos, tmp_path):
    videos, y, _ = toy_videos
    recipe = ViewRecipe("frame", image_size=16, n_frames=3)
    return Views(videos, recipe, Store(tmp_path)), y


def train(views, y, seed=0, augment=None, network=None, staged=False, **kwargs):
    network = make_network() if network is None else network
    recipe = TrainingRecipe(**(PLAIN | kwargs.pop("recipe", {})))
    samples = ImageSamples(
        views, y, None, np.ones(len(y)), scale, augment=augment, seed=seed
    )
    with repeatable(seed, 1):
        history = train_network(
            network, samples, recipe, seed=seed, staged=staged, **kwargs
        )
    return network, history


def weights(network):
    return torch.cat([p.detach().ravel() for p in network.parameters()])


def test_a_network_learns_what_tells_the_classes_apart(training_views):
    views, y = training_views
    network, history = train(views, y, epochs=8, learning_rate=1e-2)
    assert history[-1]["loss"] < min(0.2, history[0]["loss"])
    logits = np.array(
        [forward(network, scale, view.images, "cpu").mean(0) for view in views]
    )
    assert ((logits[:, 1] > logits[:, 0]) == y).mean() > 0.9
    assert not network.training


def test_one_seed_gives_one_network(training_views):
    views, y = training_views
    first, again, other = (
        weights(train(views, y, epochs=2, seed=seed)[0]) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_memory_goes_back_to_the_system_after_each_epoch(training_views, monkeypatch):
    views, y = training_views
    given = []
    monkeypatch.setattr(loop, "give_back_memory", lambda: given.append(len(given)))
    train(views, y, epochs=3)
    assert given == [0, 1, 2]


def test_a_loss_that_explodes_stops_the_fit(training_views):
    views, y = training_views
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        train(views, y, epochs=3, learning_rate=1e30)


def test_the_loss_averages_reals_and_fakes_apart():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 2, generator=draw)
    label = torch.tensor([0.0, 1, 1, 1, 0, 1, 1])
    weight = torch.rand(7, generator=draw)
    each = nn.functional.cross_entropy(
        logits, label.long(), reduction="none", label_smoothing=0.1
    )
    expected = np.mean(
        [np.average(each[label == k], weights=weight[label == k]) for k in (0, 1)]
    )
    assert abs(float(balanced_loss(logits, label, weight, 0.1)) - expected) < 1e-6
    reals = label == 0  # a step may hold one class only
    alone = balanced_loss(logits[reals], label[reals], weight[reals])
    plain = nn.functional.cross_entropy(
        logits[reals], label[reals].long(), reduction="none"
    )
    assert abs(alone - np.average(plain, weights=weight[reals])) < 1e-6


def test_the_learning_rate_rises_then_falls_to_nothing(training_views):
    views, y = training_views
    _, history = train(views, y, epochs=10, learning_rate=0.01, recipe={"warmup": 0.3})
    rates = [entry["learning_rate"] for entry in history]
    assert rates[0] < rates[1] < rates[2]
    assert all(np.diff(rates[3:]) < 0)
    assert max(rates) == pytest.approx(0.01, rel=0.1)
    assert rates[-1] < 1e-4


def test_the_head_learns_alone_at_first(training_views):
    views, y = training_views
    seen = []

    def look(network):
        seen.append(copy.deepcopy(network.state_dict()))
        return {"validation_loss": -len(seen)}

    before = make_network().state_dict()
    train(
        views,
        y,
        epochs=3,
        staged=True,
        validate=look,
        recipe={"head_epochs": 2},
    )
    for name, value in before.items():
        frozen = name.startswith("backbone")
        assert torch.equal(seen[1][name], value) == frozen, name
    assert not torch.equal(seen[2]["backbone.0.weight"], before["backbone.0.weight"])


def test_the_best_epoch_is_taken_and_patience_ends(training_views):
    views, y = training_views
    losses = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    seen = []

    def look(network):
        seen.append(weights(network))
        return {"validation_loss": next(losses)}

    network, history = train(views, y, epochs=6, validate=look, recipe={"patience": 3})
    assert len(history) == 5
    assert torch.equal(weights(network), seen[1])


def test_ema_follows_the_weights(training_views):
    views, y = training_views
    plain = weights(train(views, y, epochs=2)[0])
    still = weights(train(views, y, epochs=2, recipe={"averaging": "ema"})[0])
    assert not torch.equal(plain, still)
    at_once = train(views, y, epochs=2, recipe={"averaging": "ema", "decay": 0.0})[0]
    assert torch.allclose(weights(at_once), plain, atol=1e-6)


def test_swa_is_the_mean_of_the_last_quarter(training_views):
    views, y = training_views
    ends = []

    def look(network):
        ends.append(weights(network))
        return {"validation_loss": -len(ends)}

    train(views, y, epochs=8, validate=look)
    network, _ = train(views, y, epochs=8, recipe={"averaging": "swa"})
    expected = (ends[6] + ends[7]) / 2
    assert torch.allclose(weights(network), expected, atol=1e-6)


class FixedSamples:
    """The same batches again and again."""

    def __init__(self, sizes):
        draw = torch.Generator().manual_seed(1)
        self.made = [
            Batch(
                torch.randn(n, 3, 16, 16, generator=draw),
                torch.arange(n) % 2 * 1.0,
                torch.ones(n),
            )
            for n in sizes
        ]
        self.steps = len(sizes)

    def batches(self, epoch):
        return iter(self.made)


def test_accumulated_batches_make_one_step():
    def make_plain():
        network = make_network()
        network.dropout.p = 0.0
        network.backbone[1] = nn.Identity()
        return network

    def run(samples, accumulate):
        network = make_plain()
        recipe = TrainingRecipe(**PLAIN, accumulate=accumulate, clip_norm=1e9)
        train_network(network, samples, recipe, epochs=1, staged=False)
        return weights(network)

    halves, whole = FixedSamples([8, 8]), FixedSamples([16])
    whole.made[0].inputs = torch.cat([batch.inputs for batch in halves.made])
    whole.made[0].label = torch.cat([batch.label for batch in halves.made])
    one, two = run(whole, 1), run(halves, 2)
    start = weights(make_plain())
    # warm-up differs by the position within the schedule; the direction does not
    assert torch.nn.functional.cosine_similarity(one - start, two - start, 0) > 0.99
    assert not torch.allclose(run(halves, 1), two)


@pytest.mark.slow
def test_accumulation_begins_anew_with_each_epoch(monkeypatch):
    taken, step = [], torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        taken.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    sizes = []
    monkeypatch.setattr(
        torch.Tensor, "backward", _noting(torch.Tensor.backward, sizes, taken)
    )
    recipe = TrainingRecipe(**PLAIN, accumulate=2)
    train_network(make_network(), FixedSamples([4] * 5), recipe, epochs=2, staged=False)
    # steps taken before each backward pass: after 2, 4 and 5 batches of an epoch
    assert sizes == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5]
    assert len(taken) == 6


def _noting(function, where, of):
    def noted(*args, **kwargs):
        where.append(len(of))
        return function(*args, **kwargs)

    return noted


def test_a_finished_training_that_was_not_cleared_is_not_run_again(tmp_path):
    class Kept(KeptState):
        def clear(self):
            pass  # killed before it came to that

    keep = Kept(Store(tmp_path), "training", "0a1b")
    recipe = TrainingRecipe(**PLAIN, warmup=1.0)
    first, second = make_network(0), make_network(1)
    for network in (first, second):
        history = train_network(
            network, FixedSamples([4]), recipe, epochs=2, staged=False, keep=keep
        )
    assert len(history) == 2
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.slow_after(3)
@pytest.mark.parametrize(
    "change",
    [
        {"label_smoothing": 0.3},
        {"clip_norm": 1e-3},
        {"warmup": 0.5},
        {"amp": True},
    ],
)
def test_switches_of_the_recipe_change_the_outcome(training_views, change):
    views, y = training_views
    plain = weights(train(views, y, epochs=2)[0])
    changed = weights(train(views, y, epochs=2, recipe=change)[0])
    assert not torch.allclose(plain, changed, atol=1e-7)
    assert torch.isfinite(changed).all()


def test_the_memory_layout_changes_rounding_only(training_views):
    views, y = training_views
    first = weights(train(views, y, epochs=2)[0])
    second = weights(train(views, y, epochs=2, recipe={"channels_last": False})[0])
    assert torch.allclose(first, second, atol=1e-2)


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(training_views):
    views, y = training_views
    first = weights(train(views, y, epochs=2)[0])
    second = weights(train(views, y, epochs=2, recipe={"compile": True})[0])
    assert torch.allclose(first, second, atol=1e-2)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"warmup": 2}, "warmup must lie in 0..1"),
        ({"validation": 1.0}, "validation must be 'auto' or"),
        ({"validation": None}, "validation must be 'auto' or.*None"),
        ({"mixup": "often"}, "mixup must lie in 0..1; got 'often'"),
        ({"head_epochs": -1}, "head_epochs must be a whole number >= 0"),
        ({"accumulate": 0}, "accumulate must be a whole number >= 1"),
        ({"averaging": "mean"}, "averaging must be 'ema'"),
        ({"clip_norm": 0}, "clip_norm must be > 0"),
        ({"amp": "yes"}, "amp must be"),
    ],
)
def test_recipes_that_cannot_work_are_refused(recipe, message):
    with pytest.raises(ValueError, match=message):
        TrainingRecipe(**recipe).check()


class _Stopped(Exception):
    pass


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("averaging", [None, "ema", "swa"])
@pytest.mark.parametrize("at", [1, 4])
def test_a_training_that_goes_on_ends_with_the_same_bytes(
    training_views, tmp_path, averaging, at
):
    views, y = training_views
    kwargs = {"epochs": 5, "staged": True}
    kwargs["recipe"] = {"averaging": averaging, "head_epochs": 1, "patience": 9}

    def judge(network):
        return {"validation_loss": float(weights(network).abs().sum())}

    whole, history = train(views, y, validate=judge, **kwargs)
    keep = KeptState(Store(tmp_path / "kept"), "training", "0a1b")
    calls = []

    def judge_and_stop(network):
        calls.append(1)
        if len(calls) == at + 1:
            raise _Stopped
        return judge(network)

    with pytest.raises(_Stopped):
        train(views, y, validate=judge_and_stop, keep=keep, **kwargs)
    assert keep.load() is not None
    looked = []
    resumed, again = train(
        views, y, validate=lambda n: looked.append(1) or judge(n), keep=keep, **kwargs
    )
    assert len(looked) == 5 - at  # what was done was not done again
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert keep.load() is None
    for one, two in zip(history, again, strict=True):
        assert one["loss"] == two["loss"]


_FIT = """
    import sys, time
    import numpy as np
    from base_models import FrameDetector
    from base_models.training.optimizer_and_schedule import TrainingRun

    wait, steps, step = float(sys.argv[1]), [], TrainingRun.count_batch
    TrainingRun.count_batch = lambda *a: (time.sleep(wait), steps.append(step(*a)))
    draw = np.random.default_rng(0)
    y = np.arange(12) % 2
    videos = [
        np.clip(draw.normal(110 + 30 * label, 20, (4, 40, 40, 3)), 0, 255).astype("u1")
        for label in y
    ]
    for store in sys.argv[2:]:
        steps.clear()
        detector = FrameDetector(
            "test_resnet", view="frame", weights=None, image_size=32, n_frames=2,
            epochs=4, frames_per_epoch=2, batch_size=8, random_state=0, store=store,
            n_threads=1,
        ).fit(videos, y)
        state = detector.module_.state_dict()
        arrays = {name: value.numpy() for name, value in state.items()}
        np.savez(f"{store}.npz", steps=len(steps), **arrays)
"""


def _start(*arguments):
    code = textwrap.dedent(_FIT)
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_process_is_taken_up_where_it_was(tmp_path):
    kept = "training/*/*.safetensors"
    victim = _start(0.3, tmp_path / "killed")  # time to be killed in
    for _ in range(1200):
        if list((tmp_path / "killed").glob(kept)):
            break
        time.sleep(0.05)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert list((tmp_path / "killed").glob(kept))
    assert not (tmp_path / "killed.npz").exists()
    assert _start(0, tmp_path / "killed", tmp_path / "whole").wait() == 0
    killed, whole = (
        dict(np.load(tmp_path / f"{name}.npz")) for name in ("killed", "whole")
    )
    assert whole.pop("steps") == 12
    assert killed.pop("steps") <= 9  # what was done was not done again
    assert killed.keys() == whole.keys()
    for name, value in whole.items():
        assert killed[name].tobytes() == value.tobytes(), name
    assert not list((tmp_path / "killed").glob(kept))


def test_forward_does_not_depend_on_what_is_scored_beside():
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    network = make_network().eval()
    together = forward(network, scale, images, "cpu")
    with torch.inference_mode():
        expected = network(scale(torch.tensor(images)))
    np.testing.assert_allclose(together, expected.numpy(), atol=1e-6)


def test_the_estimate_leaves_the_network_as_it_was():
    network = make_network()
    before = copy.deepcopy(network.state_dict())
    assert seconds_per_step(network, 16, 8, "cpu") > 0
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in network.parameters())


def test_a_long_fit_says_how_long_and_what_is_quicker():
    with pytest.warns(SlowFitWarning, match=r"xception_face.*2\.5 hours.*train='head'"):
        warn_if_slow(9000, "xception_face")


def test_steps_cover_every_frame():
    assert steps_per_epoch(n_videos=10, frames_per_epoch=4, batch_size=16) == 3
    assert steps_per_epoch(n_videos=8, frames_per_epoch=4, batch_size=16) == 2


@pytest.mark.gpu
def test_a_gpu_learns_the_same(training_views):
    views, y = training_views
    network, history = train(views, y, epochs=8, learning_rate=1e-2, device="cuda")
    assert history[-1]["loss"] < history[0]["loss"]
    assert next(network.parameters()).is_cuda
