"""The steps of the example that walks through the FaceForensics++ baseline notebook."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from base_models import PrefitDetector
from base_models.backbones import build_network
from base_models.detectors.prefit import make_card

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/faceforensics_baseline.py"


@pytest.fixture(scope="module")
def example():
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("faceforensics_baseline", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_as_many_frames_are_scored_as_were_asked_for(example, tmp_path):
    """The notebook counts from 1, so that of 4 frames it scores 3."""
    torch.manual_seed(0)
    network = build_network("test_resnet", weights=None)
    torch.nn.init.normal_(network.head.weight)
    card = make_card("test_resnet", "frame", 32, source="mine.pth")
    detector = PrefitDetector(card).with_network(network)
    video = np.random.default_rng(0).integers(0, 256, (31, 32, 32, 3), np.uint8)
    folder = tmp_path / "clip"
    folder.mkdir()
    from PIL import Image

    for number, frame in enumerate(video):
        Image.fromarray(frame).save(folder / f"{number}.png")
    (row,) = example.score_frames(detector, [folder], 4).to_dict("records")
    chosen = video[[0, 10, 20, 30]]  # by hand: 0 to 30 in three equal steps
    alone = [detector.fake_score([frame[None]])[0] for frame in chosen]
    assert row["frames"] == 4
    expected = [np.mean(alone), np.min(alone), np.max(alone)]
    np.testing.assert_allclose([row["avg"], row["min"], row["max"]], expected, 1e-5)


def test_the_nine_losses_are_those_by_hand(example):
    y = np.array([1, 0, 1, 0])
    first = pd.DataFrame(
        {"avg": [0.6, 0.3, 0.5, np.nan], "min": [0.2, 0.1, 0.5, np.nan],
         "max": [0.9, 0.35, 0.5, np.nan]}
    )  # fmt: skip
    losses, n_lost = example.nine_strategies({"a": first, "b": first.fillna(0.5)}, y)
    assert len(losses) == 9
    assert n_lost == 1  # which no number stands for
    assert losses["constant 0.5"] == pytest.approx(np.log(2))
    by_hand = -np.mean(np.log([0.6, 1 - 0.3, 0.5]))
    assert losses["avg a"] == pytest.approx(by_hand)
    clipped = -np.mean(np.log([0.9, 1 - 0.4, 0.5]))
    assert losses["max clipped to 0.4..1 b"] == pytest.approx(clipped)


def test_the_evaluation_set_is_balanced(example):
    labels = np.array([0] * 3 + [1] * 9)
    rows = example.balanced(labels)
    assert len(set(rows)) == 6
    assert labels[rows].sum() == 3
    assert example.balanced(labels).tolist() == rows.tolist()


def test_names_that_are_there_twice_get_their_folder(example):
    assert example.short_names(["x/a.mp4", "x/b.mp4"]) == ["a.mp4", "b.mp4"]
    names = example.short_names(["real/a.mp4", "fake/a.mp4"])
    assert names == ["real_a.mp4", "fake_a.mp4"]
