"""What members were trained on is named, and whether it holds the videos judged."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from base_models import PrefitDetector
from base_models.backbones import build_network
from base_models.detectors.prefit import make_card
from ensemble import compare_strategies
from ensemble.comparison.training_data import origin_of, seen_in_training
from ensemble.datasets import VideoTable
from ensemble.scores import score_table

SPLITS = ["train"] * 6 + ["val"] * 3 + ["test"] * 3


def make_table(folder, dataset="faceforensics"):
    draw = np.random.default_rng(0)
    paths = []
    for number in range(12):
        path = folder / f"{number}.png"
        import cv2

        cv2.imwrite(str(path), draw.integers(0, 256, (32, 32, 3), np.uint8))
        paths.append(str(path))
    return VideoTable(
        pd.DataFrame(
            {
                "path": paths,
                "label": np.arange(12) % 2,
                "group": np.arange(12) // 2,
                "split": SPLITS,
                "dataset": dataset,
            }
        )
    )


def make_member(trained_on):
    torch.manual_seed(0)
    network = build_network("test_resnet", weights=None)
    torch.nn.init.normal_(network.head.weight)
    card = make_card(
        "test_resnet", "frame", 32, source="theirs.pth", trained_on=trained_on
    )
    return PrefitDetector(card, n_frames=1, n_threads=1).with_network(network)


def compared(trained_on, videos, store):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = compare_strategies(
            {"theirs": make_member(trained_on)},
            videos=videos,
            strategies=["soft"],
            n_folds=3,
            n_boot=10,
            store=store,
        )
    said = [str(w.message) for w in caught if "in sample" in str(w.message)]
    return found, said


@pytest.mark.slow
def test_videos_of_the_training_split_are_warned_of_and_counted(tmp_path):
    found, said = compared(["FaceForensics++ train"], make_table(tmp_path), tmp_path)
    (text,) = said
    assert (
        "theirs was trained on FaceForensics++ train, which holds 6 of the 12" in text
    )
    assert "split='test'" in text
    assert found.how["trained on"] == {"theirs": ["FaceForensics++ train"]}
    assert found.how["seen in training"] == {"theirs": 6}
    assert "theirs on FaceForensics++ train." in found.verdict
    assert "seen in that training: 6 of 12 by theirs" in found.verdict
    assert "not known here" not in found.verdict


@pytest.mark.slow
def test_other_data_are_named_without_a_warning(tmp_path):
    found, said = compared(["DFDC train"], make_table(tmp_path), tmp_path)
    assert not said
    assert "Trained beforehand: theirs on DFDC train." in found.verdict
    assert "seen in training" not in found.how
    found, said = compared(None, make_table(tmp_path), tmp_path)
    assert not said
    assert "on videos that are not known here: theirs" in found.verdict


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("FaceForensics++ train", 6),
        ("FaceForensics++ c23 train", 6),
        ("FaceForensics++ train, real videos alone", 3),
        ("faceforensics++", 12),
        ("FaceForensics++ training", 0),
        ("DFDC train", 0),
        ("", 0),
    ],
)
@pytest.mark.parametrize("dataset", ["faceforensics", "FaceForensics++"])
def test_names_on_cards_mean_these_videos(name, rows, dataset):
    table = pd.DataFrame({"dataset": dataset, "split": SPLITS})
    origin = origin_of(None, table, np.arange(12) % 2)
    assert seen_in_training({"a": [name], "b": None}, origin) == (
        {"a": rows} if rows else {}
    )


def test_nothing_is_claimed_where_nothing_is_known():
    for table in (None, pd.DataFrame({"dataset": [None] * 12})):
        origin = origin_of(None, table, np.arange(12) % 2)
        assert seen_in_training({"a": ["FaceForensics++ train"]}, origin) == {}


def test_a_table_of_scores_tells_what_its_members_have_seen():
    draw, y = np.random.default_rng(0), np.arange(24) % 2
    beside = {"prefit": ["net"], "trained_on": {"net": ["DFDC train"]}}
    table = score_table(
        draw.random((24, 2)), np.arange(24).astype(str), ["net", "ours"], label=y,
        group=np.arange(24) // 2, provenance=beside,
    )  # fmt: skip
    metadata = pd.DataFrame({"dataset": "dfdc", "split": "train"}, index=table.index)
    with pytest.warns(
        UserWarning, match="net was trained on DFDC train, .* 24 of the 24"
    ):
        found = compare_strategies(
            table, metadata=metadata, strategies=["soft"], n_boot=10
        )
    assert found.how["seen in training"] == {"net": 24}
