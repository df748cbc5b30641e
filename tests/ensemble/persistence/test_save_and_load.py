import json
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

import ensemble
from base_models import CallableDetector, CheckpointError, FrameDetector, TorchDetector
from ensemble import DeepfakeEnsemble
from ensemble.combiners import Combiner, Stacking
from ensemble.scores import companions, reasons

SMALL = {"image_size": 32, "n_frames": 2, "n_threads": 1}
HEAD = FrameDetector("test_resnet", "frame", "head", None, **SMALL)
FULL = FrameDetector(
    "test_resnet", "frame", "full", None, epochs=1, batch_size=8, **SMALL
)


def _bright(videos):
    return [0.1 + 0.8 * np.mean(video) / 255 for video in videos]


def _fit(toy_videos, detectors=None, y=None, **options):
    videos, labels, groups = toy_videos
    detectors = {"head": HEAD, "full": FULL} if detectors is None else detectors
    model = DeepfakeEnsemble(detectors, resampling=2, verbose=False, **options)
    return model.fit(videos, labels if y is None else y, groups=groups)


def _round_trip(model, tmp_path, **options):
    model.save(tmp_path / "model.dfe")
    return ensemble.load(tmp_path / "model.dfe", **options)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strategy": "voting"},
        {"combiner": "lightgbm"},
        {"combiner": "mlp"},
        {"combiner": "weighted"},
        {"combiner": "rank"},
        {"combiner": Stacking(LogisticRegression(C=0.3))},
        {"refit": False},
        {"calibration": "platt"},
        {"calibration": "isotonic"},
        {"threshold": 0.3, "unscorable": "prior"},
    ],
    ids=str,
)
def test_a_loaded_ensemble_scores_as_the_saved_one(options, toy_videos, tmp_path):
    videos, _, _ = toy_videos
    model = _fit(toy_videos, **options)
    again = _round_trip(model, tmp_path)
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))
    np.testing.assert_array_equal(again.predict(videos), model.predict(videos))
    pd.testing.assert_frame_equal(again.oof_scores_, model.oof_scores_)
    assert companions(again.oof_scores_).equals(companions(model.oof_scores_))
    for name in ("strategy", "threshold", "unscorable", "calibration", "refit"):
        assert getattr(again, name) == getattr(model, name)


@pytest.mark.skipif(os.name == "nt", reason="links and modes of POSIX")
def test_a_model_that_is_saved_again_keeps_its_link_and_its_mode(toy_videos, tmp_path):
    model = _fit(toy_videos, {"bright": CallableDetector(_bright)})
    (tmp_path / "far").mkdir()
    (tmp_path / "model.dfe").symlink_to(tmp_path / "far" / "real.dfe")
    for _ in range(2):
        model.save(tmp_path / "model.dfe")
        assert (tmp_path / "model.dfe").is_symlink()
        assert zipfile.is_zipfile(tmp_path / "far" / "real.dfe")
        (tmp_path / "far" / "real.dfe").chmod(0o600)
    model.save(tmp_path / "model.dfe")
    assert (tmp_path / "far" / "real.dfe").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_labels_keep_their_kind(toy_videos, tmp_path):
    videos, y, _ = toy_videos
    for labels in (np.where(y == 1, "FAKE", "REAL"), y == 1, y):
        model = _fit(toy_videos, {"bright": CallableDetector(_bright)}, y=labels)
        again = _round_trip(
            model, tmp_path, detectors={"bright": CallableDetector(_bright)}
        )
        assert again.classes_.tolist() == model.classes_.tolist()
        np.testing.assert_array_equal(again.predict(videos), model.predict(videos))


@pytest.mark.slow
def test_work_goes_on_after_loading(toy_videos, tmp_path):
    videos, _, _ = toy_videos
    model = _fit(toy_videos, {"head": HEAD})
    again = _round_trip(model, tmp_path)
    with pytest.raises(ValueError, match="does not keep its training videos"):
        again.add_detector("full", FULL)
    again.add_detector("full", FULL, videos=videos[::-1])
    model.add_detector("full", FULL)
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))
    again.refit_combiner("soft")
    model.refit_combiner("soft")
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))


@pytest.mark.slow
def test_a_users_code_is_given_again(toy_videos, tmp_path):
    videos, _, _ = toy_videos
    module = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(3, 1))
    torch_detector = TorchDetector(
        module, "frame", image_size=16, n_frames=2, n_threads=1, learning_rate=0.1
    )
    model = _fit(
        toy_videos, {"module": torch_detector, "bright": CallableDetector(_bright)}
    )
    model.save(tmp_path / "model.dfe")
    with pytest.raises(CheckpointError, match=r"code of detector 'module'.*load\(path"):
        ensemble.load(tmp_path / "model.dfe")
    given = {"module": torch_detector, "bright": CallableDetector(_bright)}
    again = ensemble.load(tmp_path / "model.dfe", detectors=given)
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))
    with pytest.raises(CheckpointError, match="was a TorchDetector; got a Callable"):
        ensemble.load(
            tmp_path / "model.dfe", detectors={**given, "module": given["bright"]}
        )


def test_scikit_learn_detectors_need_nothing(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    features = [np.array([v.mean(), v.std()]) for v in videos]
    detector = make_pipeline(FunctionTransformer(), LogisticRegression())
    model = DeepfakeEnsemble({"plain": detector}, resampling=2, verbose=False)
    model.fit(features, y, groups=groups)
    again = _round_trip(model, tmp_path)
    np.testing.assert_array_equal(
        again.fake_score(features), model.fake_score(features)
    )


class _Foreign(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def test_a_foreign_meta_model_is_refused_with_its_name(toy_videos, tmp_path):
    model = _fit(
        toy_videos,
        {"bright": CallableDetector(_bright)},
        combiner=Stacking(_Foreign()),
    )
    with pytest.raises(CheckpointError, match="_Foreign"):
        model.save(tmp_path / "model.dfe")
    assert not list(tmp_path.iterdir())


class Trimmed(Combiner):
    """A combiner of somebody's own: the mean, moved so that reals score `low`."""

    def __init__(self, low=0.1, scale="probability", clip=False, fake_label=None):
        self.low, self.scale = low, scale
        self.clip, self.fake_label = clip, fake_label

    def _fit(self, rows):
        self.offset_ = self.low - rows.scores[rows.is_fake == 0].mean(axis=0)
        self.model_ = LogisticRegression().fit(rows.scores, rows.is_fake)
        self.notes_ = {"n": len(rows.scores)}

    def _fake_score(self, scores):
        return np.clip((scores + self.offset_).mean(axis=1), 0, 1)


@pytest.mark.slow
def test_a_combiner_of_ones_own_is_given_again_and_knows_what_it_learned(
    toy_videos, tmp_path
):
    path = tmp_path / "model.dfe"
    model = _fit(toy_videos, {"head": HEAD}, combiner=Trimmed(low=0.2))
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        assert all("pickle" not in name for name in archive.namelist())
    with pytest.raises(CheckpointError, match=r"combiners=\{'Trimmed': Trimmed\(...\)"):
        ensemble.load(path)
    again = ensemble.load(path, combiners={"Trimmed": Trimmed()})
    assert again.combiner_.low == 0.2
    assert again.combiner_.notes_ == model.combiner_.notes_
    videos = toy_videos[0]
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))
    np.testing.assert_allclose(
        again.refit_combiner(again.combiner).fake_score(videos),
        model.fake_score(videos),
    )
    with pytest.raises(CheckpointError, match="was a Trimmed; got a Stacking"):
        ensemble.load(path, combiners={"Trimmed": Stacking()})

    def forge(manifest, parts):
        state = manifest["fitted"]["combiner_"]["state"]["dict"]
        state.append(["_fake_score", "harm"])

    _rewrite(path, forge)
    with pytest.raises(CheckpointError, match="would set '_fake_score'"):
        ensemble.load(path, combiners={"Trimmed": Trimmed()})


def test_a_combiner_that_learned_what_no_file_holds_is_refused(toy_videos, tmp_path):
    model = _fit(toy_videos, {"head": HEAD}, combiner=Trimmed())
    model.combiner_.function_ = lambda scores: scores
    with pytest.raises(
        CheckpointError, match=r"combiner Trimmed cannot be saved.*keep"
    ):
        model.save(tmp_path / "model.dfe")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mine/card.json", b"{}", r"a folder that convert wrote.*load_checkpoint"),
        ("full_c23.p", b"\x80", "a checkpoint of a network.*load_checkpoint"),
        ("net.onnx", b"x", "a network that export wrote"),
        ("weights", b"\x89HDF\r\n", "a checkpoint of a network"),
        ("clip.MP4", b"x", "a video; the model comes first"),
        ("scores.csv", b"x", "a table; the model comes first"),
        ("empty/notes.txt", b"x", "a folder; give the .dfe file"),
        ("noise.dfe", b"x", "or damaged"),
    ],
)
def test_what_is_no_ensemble_is_named_with_a_way_out(tmp_path, name, content, said):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"not a saved ensemble, .*{said}"):
        ensemble.load(path if path.parent == tmp_path else path.parent)


def test_a_pytorch_archive_is_known_by_its_content(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.dfe")
    with pytest.raises(CheckpointError, match="a checkpoint of a network"):
        ensemble.load(tmp_path / "weights.dfe")


def _rewrite(path, change):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts["manifest.json"])
    change(manifest, parts)
    del manifest["manifest_sha256"]  # a forger leaves it out, or makes it anew
    parts["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_a_file_cannot_name_foreign_code(toy_videos, tmp_path):
    path = tmp_path / "model.dfe"
    _fit(toy_videos, {"head": HEAD}).save(path)

    def harm(manifest, parts):
        manifest["fitted"]["combiner_"] = {
            "own": "subprocess:Popen",
            "params": {"dict": [["args", f"touch {tmp_path}/harm"]]},
            "state": {"dict": []},
        }

    _rewrite(path, harm)
    with pytest.raises(CheckpointError, match="subprocess:Popen"):
        ensemble.load(path)
    assert not os.path.exists(tmp_path / "harm")


def test_damage_is_noticed(toy_videos, tmp_path):
    path = tmp_path / "model.dfe"
    _fit(toy_videos, {"head": HEAD}).save(path)

    def flip(manifest, parts):
        (name,) = (n for n in parts if n.startswith("parts/"))
        parts[name] = parts[name][:-1] + bytes([parts[name][-1] ^ 1])

    _rewrite(path, flip)
    with pytest.raises(CheckpointError, match=r"parts/0\.safetensors is not what was"):
        ensemble.load(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        CheckpointError, match="not a saved ensemble, or cut short or damaged"
    ):
        ensemble.load(path)
    with pytest.raises(CheckpointError, match="no saved ensemble at"):
        ensemble.load(tmp_path / "absent.dfe")


def test_a_later_format_is_refused(toy_videos, tmp_path):
    path = tmp_path / "model.dfe"
    _fit(toy_videos, {"head": HEAD}).save(path)
    _rewrite(path, lambda manifest, parts: manifest.update(format=99))
    with pytest.raises(CheckpointError, match="has format 99, this release reads 1"):
        ensemble.load(path)


def test_the_file_says_what_made_it_and_holds_no_pickle(toy_videos, tmp_path):
    path = tmp_path / "model.dfe"
    model = _fit(toy_videos)
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        names = archive.namelist()
    assert {"deepfake-ensemble", "torch", "scikit-learn"} <= set(manifest["versions"])
    assert set(manifest["sha256"]) == set(names) - {"manifest.json"}
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt"))]
    assert reasons(model.oof_scores_).empty
