import builtins
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed

from base_models.runtime.distributed import Processes, joined_processes, n_processes
from base_models.store import Store
from base_models.training import balanced_loss, class_weights
from base_models.training.batches import FeatureSamples


@pytest.fixture
def launched(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")


@pytest.mark.slow
def test_processes_are_those_that_a_launcher_started(launched, monkeypatch):
    assert n_processes() == 2
    # workers that fit detectors side by side inherit the environment, not the part
    assert Parallel(n_jobs=2)(delayed(n_processes)() for _ in range(2)) == [1, 1]
    threads = Parallel(n_jobs=2, prefer="threads")
    assert threads(delayed(n_processes)() for _ in range(2)) == [1, 1]
    monkeypatch.delenv("RANK")  # some job queues set the size alone
    assert n_processes() == 1


def test_several_processes_need_accelerate_and_say_so(launched, monkeypatch):
    load = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "accelerate":
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"started as 2 processes.*\[gpus\]"):
        joined_processes(torch.device("cpu"))


def test_one_process_alone_does_nothing_special():
    alone, network = Processes(), torch.nn.Linear(2, 2)
    assert alone.main
    assert alone.wrap(network) is network
    assert torch.equal(alone.total(torch.ones(2)), torch.ones(2))
    assert list(range(5))[alone.share] == [0, 1, 2, 3, 4]


def test_losses_of_the_shares_add_up_to_that_of_the_batch():
    draw = torch.Generator().manual_seed(0)
    logits, weight = torch.randn(7, 2, generator=draw), torch.rand(7, generator=draw)
    label = torch.tensor([1.0, 0, 1, 0, 1, 1, 1])  # the second share: both reals
    totals = class_weights(label, weight)
    parts = [
        balanced_loss(logits[own], label[own], weight[own], 0.1, totals)
        for own in (Processes(2, rank).share for rank in (0, 1))
    ]
    assert torch.allclose(sum(parts), balanced_loss(logits, label, weight, 0.1))


def test_shares_of_stored_features_make_the_batch():
    features = [np.full((2, 5, 3), n, np.float16) for n in range(8)]
    samples = FeatureSamples(features, np.arange(8) % 2, None, np.ones(8))
    shares = [samples.batches(0, Processes(2, rank).share) for rank in (0, 1)]
    for whole, *parts in zip(samples.batches(0), *shares, strict=True):
        for rank, part in enumerate(parts):
            assert torch.equal(part.inputs, whole.inputs[rank::2])
            assert torch.equal(part.label, whole.label[rank::2])


_FIT = """
    import os, sys
    import numpy as np
    import torch
    from sklearn.base import clone
    from torch import nn
    from base_models import FrameDetector, TorchDetector, TrainingRecipe
    from base_models.training.optimizer_and_schedule import TrainingRun

    out, kill = sys.argv[1], sys.argv[2] == "kill"
    rank = os.environ.get("RANK", "alone")
    clip = nn.utils.clip_grad_norm_

    def clip_and_note(*arguments):
        norm = clip(*arguments)
        with open(f"{out}/norms_{rank}.txt", "a") as file:
            print(float(norm), file=file)

    nn.utils.clip_grad_norm_ = clip_and_note
    if kill:
        save = TrainingRun.save

        def save_and_die(self, keep):
            save(self, keep)
            if len(self.history) == 2:
                os._exit(9)

        TrainingRun.save = save_and_die

    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    y = np.arange(16) % 2
    videos = [
        np.clip(draw.normal(110 + 30 * label, 20, (4, 40, 40, 3)), 0, 255).astype("u1")
        for label in y
    ]
    common = dict(
        view="frame", image_size=32, n_frames=2, epochs=4, frames_per_epoch=2,
        batch_size=8, random_state=0, n_threads=1, device="cpu", store=f"{out}/store",
        recipe=TrainingRecipe(accumulate=2, averaging="ema", validation=0.25),
    )
    module = nn.Sequential(
        nn.Conv2d(3, 4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 2)
    )
    small = FrameDetector("test_resnet", weights=None, **common)
    for name, detector in {
        "plain": TorchDetector(module, **common),
        "full": small,
        "last": clone(small).set_params(train="last_stage"),
    }.items():
        state = detector.fit(videos, y).module_.state_dict()
        np.savez(f"{out}/{name}_{rank}.npz", **{k: v for k, v in state.items()})
"""


def _run(out, kill="no", n=2):
    out.mkdir(exist_ok=True)
    script = out / "fit.py"
    script.write_text(textwrap.dedent(_FIT))
    # what `accelerate launch` starts where there are GPUs
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
    command = [sys.executable, *(launch if n > 1 else []), str(script), str(out), kill]
    paths = [os.getcwd(), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(command, env=environment, capture_output=True, check=False)


def _weights(out, name, rank):
    return dict(np.load(out / f"{name}_{rank}.npz"))


def _norms(out, rank):
    """Length of the gradient in each step."""
    return np.loadtxt(out / f"norms_{rank}.txt")


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path):
    pytest.importorskip("accelerate")
    ran = _run(tmp_path / "two")
    assert ran.returncode == 0, ran.stderr.decode()
    assert _run(tmp_path / "one", n=1).returncode == 0
    alone = _weights(tmp_path / "one", "plain", "alone")
    together = _weights(tmp_path / "two", "plain", 0)
    for name, value in alone.items():  # no normalisation: the same but for rounding
        np.testing.assert_allclose(together[name], value, atol=1e-4)
    # AdamW would hide a gradient of another length
    expected = _norms(tmp_path / "one", "alone")[:8]  # those of "plain"
    np.testing.assert_allclose(_norms(tmp_path / "two", 1)[:8], expected, rtol=1e-3)
    for name in ("plain", "full", "last"):
        first, second = (_weights(tmp_path / "two", name, rank) for rank in (0, 1))
        for key, value in first.items():
            assert value.tobytes() == second[key].tobytes(), (name, key)


@pytest.mark.slow
def test_two_killed_processes_are_taken_up_where_they_were(tmp_path):
    pytest.importorskip("accelerate")
    assert _run(tmp_path / "whole").returncode == 0
    assert _run(tmp_path / "cut", "kill").returncode != 0
    assert Store(tmp_path / "cut" / "store").keys("training")
    assert _run(tmp_path / "cut").returncode == 0
    whole, cut = (_norms(tmp_path / part, 0) for part in ("whole", "cut"))
    assert len(cut) == len(whole)  # what was done was not done again
    for name in ("plain", "full", "last"):
        whole, cut = (_weights(tmp_path / part, name, 0) for part in ("whole", "cut"))
        for key, value in whole.items():
            assert value.tobytes() == cut[key].tobytes(), (name, key)
