"""Transformers of which a part learned: saved, scored in batches, as 8-bit ONNX."""

import numpy as np
import pandas as pd
import pytest

import ensemble
from base_models import FrameDetector, write_video
from ensemble import DeepfakeEnsemble, export_members

pytestmark = pytest.mark.slow


def transformer(train, **params):
    return FrameDetector(
        "test_vit", "frame", train, None, 32, n_frames=2, n_threads=1, epochs=1,
        random_state=0, **params,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted(toy_videos):
    videos, y, groups = toy_videos
    members = [
        ("norm", transformer("norm", features="middle", head="normalised")),
        ("lora", transformer("lora", rank=2)),
        ("blocks", transformer("last_blocks")),
        ("head", transformer("head", features="middle")),
    ]
    model = DeepfakeEnsemble(members, combiner="soft", resampling=2, verbose=False)
    return model.fit(videos, y, groups=groups)


@pytest.fixture(scope="module")
def clips(toy_videos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    paths = [folder / f"{number}.mp4" for number in range(4)]
    for path, video in zip(paths, toy_videos[0], strict=False):
        write_video(path, video)
    return [str(path) for path in paths]


def test_a_saved_ensemble_scores_as_the_fitted_one(fitted, clips, tmp_path):
    fitted.save(tmp_path / "model.dfe")
    again = ensemble.load(tmp_path / "model.dfe")
    expected = fitted.detector_scores(clips)
    pd.testing.assert_frame_equal(again.detector_scores(clips), expected)
    assert expected.notna().all(axis=None)
    assert expected.nunique().min() > 1


def test_a_table_of_videos_is_scored_alike(fitted, clips, tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame({"path": clips}).to_csv(tmp_path / "clips.csv", index=False)
    fitted.judge_table(tmp_path / "clips.csv", tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out")
    expected = fitted.predict_proba(clips)[:, 1]
    np.testing.assert_allclose(table["p_fake"], expected, atol=1e-6)


def test_networks_of_8_bits_say_nearly_the_same(fitted, tmp_path):
    pytest.importorskip("onnxruntime")
    cards, skipped = export_members(fitted, tmp_path, int8=True)
    assert (set(cards), skipped) == ({"norm", "lora", "blocks", "head"}, {})
    for card in cards.values():
        assert card["largest_difference"] < 1e-4
        assert card["int8"]["kind"] == "dynamic"  # linear layers make up transformers
        assert card["int8"]["largest_of_images"] < 0.05
