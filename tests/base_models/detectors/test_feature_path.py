"""The detector of feature paths: what is measured of a path, and what is learned."""

import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from base_models import FeaturePathDetector, Store, UnscorableVideoError, ViewRecipe
from base_models.detectors.feature_path import path_statistics
from base_models.networks.backbones import build_network
from base_models.scoring.together import score_videos
from ensemble import DeepfakeEnsemble, load

PATHS = FeaturePathDetector(
    "test_resnet",
    view="frame",
    weights=None,
    image_size=32,
    n_frames=3,
    clip_length=8,
    n_threads=1,
)


def scene(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    return cv2.blur(noise, (9, 9))


def drift(seed, n_frames=24):
    """A picture that moves on by a pixel each frame."""
    return np.stack([np.roll(scene(seed), t, axis=1) for t in range(n_frames)])


def trembling(seed):
    """The same moved to and fro."""
    draw = np.random.default_rng(seed + 50)
    at = np.cumsum(draw.integers(1, 3, 24) * draw.choice([-1, 1], 24))
    return np.stack([np.roll(scene(seed), t, axis=1) for t in at])


@pytest.fixture(scope="module")
def people():
    return [drift(seed) for seed in range(14)], [trembling(s) for s in range(14)]


def test_the_numbers_of_a_path_by_a_loop_over_its_steps():
    path = np.random.default_rng(0).normal(size=(7, 5)) + 3
    size = sum(math.hypot(*point) for point in path) / 7
    steps = [(b - a) / size for a, b in pairwise(path)]
    lengths = [math.hypot(*step) for step in steps]
    pace = sum(lengths) / 6

    def cosine(one, other):
        return sum(one * other) / (math.hypot(*one) * math.hypot(*other))

    angles = [math.acos(cosine(a, b)) for a, b in pairwise(steps)]
    turns = [math.hypot(*(b - a)) for a, b in pairwise(steps)]
    changes = [abs(b - a) for a, b in pairwise(lengths)]
    way = math.hypot(*(path[-1] - path[0])) / size
    after = [cosine(a, b) for a, b in zip(steps, steps[2:], strict=False)]
    mean = sum(angles) / 5
    expected = [
        math.log(pace),
        math.log(math.sqrt(sum((n - pace) ** 2 for n in lengths) / 6) / pace + 0.01),
        math.log(sum(changes) / 5 / pace + 0.01),
        math.log(sum(turns) / 5 / pace + 0.01),
        mean,
        math.sqrt(sum((angle - mean) ** 2 for angle in angles) / 5),
        min(angles),
        max(angles),
        math.log((way / sum(lengths) + 0.01) / 1.01),
        sum(after) / 4,
    ]
    np.testing.assert_allclose(path_statistics(path), expected, atol=1e-4)
    np.testing.assert_allclose(path_statistics(path * 50), expected, atol=1e-4)
    assert np.isfinite(path_statistics(np.zeros((6, 3)))).all()


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [False, True])
def test_it_tells_what_trembles(people, labelled, tmp_path):
    real, fake = people
    detector = clone(PATHS).set_params(store=tmp_path / "store")
    assert detector.fits_on_reals
    videos, y = (real[:10] + fake[:10], [0] * 10 + [1] * 10)
    groups = [*range(10), *range(10)]
    if not labelled:
        videos, y, groups = real[:10], [0] * 10, groups[:10]
    detector.fit(videos, y, groups=groups)
    score = detector.fake_score(real[10:] + fake[10:])
    assert score[4:].min() > 0.5
    assert roc_auc_score([0] * 4 + [1] * 4, score) > 0.9
    again = clone(detector).set_state(*detector.get_state())
    np.testing.assert_array_equal(again.fake_score(fake), detector.fake_score(fake))
    order = np.random.default_rng(1).permutation(len(videos))
    anew = (
        clone(detector)
        .set_params(store=tmp_path / "new")
        .fit(
            [videos[i] for i in order],
            [y[i] for i in order],
            groups=[groups[i] for i in order],
        )
    )
    np.testing.assert_allclose(anew.fake_score(fake), detector.fake_score(fake))
    (timeline,) = detector.score_frames(fake[8:9])
    assert timeline["frame"].tolist() == [0, 12, 23]
    assert timeline["score"].between(0, 1).all()


@pytest.mark.slow
def test_of_reals_alone_a_half_is_what_five_in_a_hundred_clips_exceed(people):
    real = [drift(seed) for seed in range(40)]
    detector = clone(PATHS).set_params(clip_length=4, n_frames=3)
    detector.fit(real[::2], [0] * 20)
    above = [
        score > 0.5
        for frames in detector.score_frames(real[1::2])
        for score in frames["score"]
    ]
    assert np.mean(above) < 0.25  # of 60 clips; 5 % of many
    assert np.mean(above) < np.mean(
        [f["score"].gt(0.5).mean() for f in detector.score_frames(people[1])]
    )


def test_views_are_shared_and_measured_once(people, tmp_path):
    real, _ = people
    one = clone(PATHS).set_params(store=tmp_path).fit(real[:4], [0] * 4)
    assert len(Store(tmp_path).keys("features")) == 4
    (recipe,) = one.view_recipes()
    assert recipe.key == ViewRecipe("frame", 32, n_frames=3, clip_length=8).key
    other = clone(one).set_params(C=1.0).fit(real[:4], [0] * 4)
    assert len(Store(tmp_path).keys("features")) == 4
    assert len(Store(tmp_path).keys("view")) == 4
    scores, _ = score_videos([one, other], real[4:6], store=tmp_path)
    np.testing.assert_array_equal(scores[:, 0], one.fake_score(real[4:6]))
    assert len(Store(tmp_path).keys("view")) == 6


def test_what_cannot_be_followed_has_a_reason(people, tmp_path):
    real, _ = people
    short, still = real[0][:7], np.stack([scene(99)] * 24)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    detector = clone(PATHS)
    with pytest.warns(UserWarning, match=r"7 frames, and it takes 8 in a row"):
        detector.fit([*real, short], [0] * 15)
    videos = [short, still, broken]
    scores, reasons = score_videos([detector], videos)
    assert np.isnan(scores).all()
    assert "takes 8 in a row" in reasons[0, 0]
    assert "nothing moves" in reasons[1, 0]
    assert reasons[2, 0]
    with pytest.raises(UnscorableVideoError, match=r"broken\.mp4"):
        detector.predict([broken])


@pytest.mark.slow
def test_it_is_saved_with_an_ensemble_and_its_weights(people, tmp_path):
    import torch

    real, fake = people
    weights = tmp_path / "weights.pth"
    torch.save(build_network("test_resnet", weights=None).state_dict(), weights)
    member = clone(PATHS).set_params(weights=weights)
    model = DeepfakeEnsemble({"paths": member}, resampling=2, verbose=False)
    with pytest.warns(UserWarning, match="unknown data|cannot be told on"):
        model.fit(real, [0] * 14, groups=range(14))
    score = model.fake_score(fake)
    model.save(tmp_path / "model.dfe")
    weights.unlink()
    np.testing.assert_array_equal(load(tmp_path / "model.dfe").fake_score(fake), score)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"clip_length": 3}, ValueError, "clip_length must be a whole number >= 4.*3"),
        ({"engine": "fast"}, ValueError, "engine must be 'auto'.*got 'fast'"),
        ({"backbone": "resnot18"}, ValueError, "resnot18"),
        ({"view": "faces"}, ValueError, "view must be one of"),
    ],
)
def test_bad_parameters_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        clone(PATHS).set_params(**wrong).fit(["a.mp4", "b.mp4"], [0, 0])


@pytest.mark.slow
def test_labels_without_meaning_give_chance():
    from ensemble import out_of_fold_scores

    areas = []
    for seed in range(8):
        videos = [drift(100 * seed + n) for n in range(24)]
        y, groups = np.arange(24) % 2, np.arange(24) // 2
        table = out_of_fold_scores(
            {"paths": clone(PATHS)}, videos, y, groups, resampling=3
        )
        areas.append(roc_auc_score(y, table["paths"]))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.12)
