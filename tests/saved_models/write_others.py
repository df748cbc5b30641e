"""Writes files of the kinds that `write.py` does not: rules, tables, weights, entries.

They are for later versions to read, and are not written again.

    python tests/saved_models/write_others.py tests/saved_models/<name of the version>
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import ensemble
from base_models import Store, write_video
from base_models.backbones import build_network
from base_models.detectors.prefit import PrefitDetector, make_card
from base_models.store import store_key
from ensemble.datasets import VideoTable, index_videos
from ensemble.scores import score_table

KEY = b"a key that is no secret at all"
ENTRIES = {"view": np.arange(9000), "scores": np.arange(3.0)}  # a file, and a row


def scores(seed):
    """Draw scores of three detectors for 40 videos, the odd ones higher."""
    draw = np.random.RandomState(seed)
    values = draw.normal(0.4, 0.2, (40, 3)) + 0.2 * (np.arange(40) % 2)[:, None]
    return pd.DataFrame(
        np.clip(values, 0.01, 0.99), columns=["one", "two", "three"]
    ).round(6)


def main(folder):
    """Write one of each, and what each must say."""
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True)
    y, groups = np.arange(40) % 2, np.arange(40) // 2
    expected = {"versions": {"deepfake-ensemble": ensemble.__version__}, "rules": {}}
    for name, combiner in (("logistic", "logistic"), ("log_odds", "log_odds")):
        rule = ensemble.ScorePipeline(combiner, n_boot=20).fit(scores(0), y, groups)
        rule.save(folder / f"{name}.dfe", key=KEY if name == "logistic" else None)
        expected["rules"][name] = rule.judge(scores(1))["p_fake"].tolist()
    table = score_table(
        scores(0), [f"c{n}.mp4" for n in range(40)], ["one", "two", "three"],
        label=y.tolist(), group=[f"{g:03d}" for g in groups],
        provenance={"out_of_fold": True},
    )  # fmt: skip
    ensemble.write_scores(table, folder / "scores.csv")
    ensemble.write_scores(table, folder / "scores.parquet")
    torch.manual_seed(0)
    network = PrefitDetector(make_card("mesonet4", "face", trained_on=["nothing"]))
    network.with_network(build_network("mesonet4")).save(folder / "network")
    store = Store(folder / "entries")
    for kind, values in ENTRIES.items():
        store.put(kind, store_key(of=kind), {"x": values}, {"of": kind})
    with tempfile.TemporaryDirectory() as place:
        clips = [f"{place}/{name}.mp4" for name in ("a", "b")]
        for clip in clips:
            write_video(clip, np.full((6, 48, 64, 3), 90, np.uint8), fps=25)
        videos = VideoTable(pd.DataFrame({"path": clips, "label": [0, 1]}))
        found = index_videos(videos, finder=None, store=f"{place}/store")
        frame = found.table.assign(path=["a.mp4", "b.mp4"])
        frame.to_parquet(folder / "index.parquet", index=False)
    text = json.dumps(expected, indent=1, allow_nan=False)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
