"""Writes the saved models, the store and the expected scores in this folder.

They stand for files that users have: later versions must read them and give the same
scores. They were written by the version that `expected.json` names and are not written
again; a later version adds a folder of its own beside them, of which models that are
no different in kind may be left out.

    python tests/saved_models/write.py tests/saved_models/<name of the version>
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch

import ensemble
from base_models import (
    FlickerDetector,
    FrameDetector,
    FrequencyDetector,
    LSTMDetector,
    TrainingRecipe,
)
from ensemble.combiners import AutoCombiner, Bagging, Blending, Stacking, Voting

COMBINERS = {
    "logistic": "logistic",
    "lightgbm": "lightgbm",
    "layers": Stacking("mlp", layers=[["log_odds", "logistic"]]),
    "greedy": "greedy",
    "dynamic": "dynamic",
    "weighted": "weighted",
    "rank": Voting("rank"),
    "bagging": Bagging("weighted", n_replicas=3),
    "blending": Blending("logistic"),
    "auto": AutoCombiner(["log_odds", "logistic"], n_folds=2),
}


def small_videos(n_videos=24, seed=0):
    """Draw clips of drifting noise; fakes (odd) flicker more. Two clips a group.

    ``RandomState`` draws the same numbers in every version of NumPy.
    """
    draw = np.random.RandomState(seed)
    videos = []
    for number in range(n_videos):
        still = draw.randint(60, 190, (44, 56, 3))
        frames = [
            still[shift : shift + 40, shift : shift + 48]
            + draw.randint(-4 - 8 * (number % 2), 5 + 8 * (number % 2), (40, 48, 3))
            for shift in range(4)
        ]
        videos.append(np.clip(frames, 0, 255).astype(np.uint8))
    return videos, np.arange(n_videos) % 2, np.arange(n_videos) // 2


def detectors():
    """Small members of several kinds; the networks start from random weights."""
    network = {"view": "frame", "weights": None, "image_size": 32, "n_frames": 2}
    return [
        ("mesonet_head", FrameDetector("mesonet4", train="head", **network)),
        (
            "mesonet_full",
            FrameDetector(
                "mesonet4", epochs=1, recipe=TrainingRecipe(mixup=0.1), **network
            ),
        ),
        ("mesonet_lstm", LSTMDetector("mesonet4", hidden_size=4, epochs=1, **network)),
        ("frequency", FrequencyDetector("frame", image_size=64, n_frames=2)),
        ("flicker", FlickerDetector("frame", image_size=64, n_frames=2)),
    ]


def main(folder):
    """Fit one ensemble, save it with every combiner, keep what each must say."""
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True)
    videos, y, groups = small_videos()
    new, *_ = small_videos(6, seed=1)
    given = {"resampling": 3, "random_state": 0, "device": "cpu", "verbose": False}
    with tempfile.TemporaryDirectory() as store:
        model = ensemble.DeepfakeEnsemble(
            detectors(), store=store, calibration="platt", **given
        ).fit(videos, y, groups=groups)
    table = model.detector_scores(new)
    expected = {
        "versions": {
            "deepfake-ensemble": ensemble.__version__,
            "torch": torch.__version__,
            "timm": timm.__version__,
        },
        "oof_scores": model.oof_scores_.to_numpy().tolist(),
        "new_scores": table.to_numpy().tolist(),
        "fake_score": {},
    }
    for name, combiner in COMBINERS.items():
        model.refit_combiner(combiner).save(folder / f"{name}.dfe")
        expected["fake_score"][name] = model.fake_score(new).tolist()
    reals = ensemble.DeepfakeEnsemble(
        [("frequency", FrequencyDetector("frame", 64, n_frames=2, n_drawn=20))],
        **given,
    ).fit(videos[::2], y[::2], groups=groups[::2])
    reals.save(folder / "reals_alone.dfe")
    expected["fake_score"]["reals_alone"] = reals.fake_score(new).tolist()
    kept = [named for named in detectors() if named[0] in ("mesonet_head", "flicker")]
    given["resampling"] = 2
    stored = ensemble.DeepfakeEnsemble(kept, store=folder / "store", **given).fit(
        videos[:8], y[:8], groups=groups[:8]
    )
    expected["stored_oof_scores"] = stored.oof_scores_.to_numpy().tolist()
    text = json.dumps(expected, indent=1, allow_nan=False)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")
    print(pd.DataFrame(expected["fake_score"]).round(3))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
