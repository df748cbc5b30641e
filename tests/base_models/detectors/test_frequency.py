"""The detector of frequencies: what is measured in an image, and what is learned."""

import cv2
import numpy as np
import pytest
from scipy.fft import dct
from sklearn.base import clone

from base_models import FrequencyDetector
from base_models.detectors.frequency import image_frequencies
from base_models.networks.residuals import KER_BOEHME

RINGS, BLOCKS = slice(0, 32), slice(32, 95)
INNER, OUTER, RATIOS = slice(95, 98), slice(98, 101), slice(101, 104)


def gray(plane):
    """An RGB image of one brightness plane."""
    return np.repeat(np.rint(plane).astype(np.uint8)[..., None], 3, axis=2)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def test_power_by_frequency_is_that_of_a_wave():
    columns = np.arange(64)
    for cycles in (8, 16, 24):
        wave = 128 + 100 * np.sin(2 * np.pi * columns * cycles / 64)
        image = gray(np.repeat(wave[None], 64, axis=0))
        rings = image_frequencies(image)[RINGS]
        assert rings.argmax() == int(cycles / 64 / np.sqrt(0.5) * 32)


def test_rings_are_radial_means_of_the_power_spectrum():
    image = noise(32, 32)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., 0].astype(float)
    window = np.hanning(32)[:, None] * np.hanning(32)
    power = np.abs(np.fft.fft2((luma - luma.mean()) * window)) ** 2
    rings = [[] for _ in range(32)]
    for i in range(32):
        for j in range(17):  # the other half is the same
            away = np.hypot(np.fft.fftfreq(32)[i], j / 32) / np.sqrt(0.5)
            rings[min(int(away * 32), 31)].append(power[i, j])
    expected = np.log([np.mean(ring) + 1e-3 if ring else 1e-3 for ring in rings])
    with np.errstate(invalid="ignore"):
        found = image_frequencies(image)[RINGS]
    full = [n for n, ring in enumerate(rings) if ring]
    np.testing.assert_allclose(
        found[full] - found[full].mean(), expected[full] - expected[full].mean(),
        atol=1e-4,
    )  # fmt: skip


def test_block_energies_are_those_of_the_8_by_8_cosine_transform():
    image = noise(24, 16)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., 0].astype(float)
    total = np.zeros((8, 8))
    for top in (0, 8, 16):
        for left in (0, 8):
            block = luma[top : top + 8, left : left + 8]
            total += np.abs(dct(dct(block, axis=0, norm="ortho"), norm="ortho"))
    expected = np.log(total.ravel()[1:] / 6 + 1e-2)
    np.testing.assert_allclose(image_frequencies(image)[BLOCKS], expected, atol=1e-4)


def test_the_residual_filter_sees_no_planes_and_no_parabolas():
    rows, columns = np.indices((5, 5)) - 2.0
    for plane in (rows**0, rows, columns, rows * columns, rows**2, columns**2):
        assert (KER_BOEHME * plane).sum() == pytest.approx(0, abs=1e-5)
    assert KER_BOEHME[2, 2] == pytest.approx(-1)


def test_blur_lowers_the_high_frequencies_and_the_residual():
    image = noise(64, 64)
    sharp, soft = image_frequencies(image), image_frequencies(cv2.blur(image, (3, 3)))
    change = soft[RINGS] - sharp[RINGS]
    assert change[24:].mean() < change[:8].mean() - 1
    assert soft[BLOCKS][-1] < sharp[BLOCKS][-1]  # the finest part of a block
    assert soft[INNER][0] < sharp[INNER][0]  # spread of the residual


def test_a_smoothed_middle_is_seen_against_its_surround():
    image = noise(64, 64)
    swapped = image.copy()
    swapped[16:48, 16:48] = cv2.blur(image, (3, 3))[16:48, 16:48]
    before, after = image_frequencies(image), image_frequencies(swapped)
    assert after[RATIOS][0] < before[RATIOS][0] - 0.5
    assert after[OUTER][0] == pytest.approx(before[OUTER][0], abs=0.1)


def test_brightness_does_not_count():
    image = noise(64, 64) // 2
    np.testing.assert_allclose(
        image_frequencies(image), image_frequencies(image + np.uint8(60)), atol=0.05
    )


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_an_even_image_has_finite_features(shade):
    assert np.isfinite(image_frequencies(np.full((64, 64, 3), shade, np.uint8))).all()


@pytest.fixture(scope="module")
def grainy():
    """24 clips of smoothed noise; every second one is smoother, 12 groups."""
    draw = np.random.default_rng(0)
    y = np.arange(24) % 2
    videos = [
        np.stack(
            [
                cv2.GaussianBlur(frame, (0, 0), 0.8 + 0.5 * label)
                for frame in draw.integers(0, 256, (4, 48, 48, 3), np.uint8)
            ]
        )
        for label in y
    ]
    return videos, y, np.arange(24) // 2


def test_a_video_has_the_pooled_score_of_its_frames(grainy):
    videos, y, groups = grainy
    detector = FrequencyDetector("frame", image_size=48, n_frames=3)
    detector.fit(videos[:16], y[:16], groups=groups[:16])
    timelines = detector.score_frames(videos[16:])
    means = [timeline["score"].mean() for timeline in timelines]
    np.testing.assert_allclose(detector.fake_score(videos[16:]), means)
    highest = clone(detector).set_params(pooling="max").fit(videos[:16], y[:16])
    np.testing.assert_allclose(
        highest.fake_score(videos[16:]), [t["score"].max() for t in timelines]
    )


def test_both_classes_and_all_videos_of_a_class_weigh_the_same(grainy):
    """Longer or more videos of a class change nothing; weights within it do."""
    videos, y, _ = grainy
    detector = FrequencyDetector("frame", image_size=48, n_frames=3)
    real, fake = (
        [v for v, f in zip(videos, y, strict=True) if not f],
        [v for v, f in zip(videos, y, strict=True) if f],
    )
    once = clone(detector).fit(real[:4] + fake[:4], [0] * 4 + [1] * 4)
    twice = clone(detector).fit(
        real[:4] + fake[:4], [0] * 4 + [1] * 4, sample_weight=[1.0] * 4 + [5.0] * 4
    )
    np.testing.assert_allclose(once.coef_, twice.coef_, atol=1e-6)
    other = clone(detector).fit(
        real[:4] + fake[:4], [0] * 4 + [1] * 4, sample_weight=[1.0] * 7 + [5.0]
    )
    assert np.abs(once.coef_ - other.coef_).max() > 1e-3


def test_the_state_is_numbers_alone(grainy):
    videos, y, _ = grainy
    detector = FrequencyDetector("frame", image_size=48, n_frames=2).fit(videos, y)
    meta, arrays = detector.get_state()
    assert {name: a.shape for name, a in arrays.items()} == {
        "coef_": (106,),
        "mean_": (106,),
        "scale_": (106,),
    }
    again = clone(detector).set_state(meta, arrays)
    np.testing.assert_array_equal(again.fake_score(videos), detector.fake_score(videos))


def test_images_too_small_to_measure_are_refused():
    with pytest.raises(ValueError, match="image_size must be a whole number >= 16"):
        FrequencyDetector("frame", image_size=8).fit(["a.mp4", "b.mp4"], [0, 1])


@pytest.mark.slow
def test_swapped_portraits_are_told_by_group(tmp_path):
    from sklearn.metrics import roc_auc_score

    from ensemble import out_of_fold_scores
    from ensemble.datasets import make_forgeries

    forged = make_forgeries(
        tmp_path / "clips", n_identities=24, random_state=0, verbose=0
    )
    scores = out_of_fold_scores(
        {"frequency": FrequencyDetector()}, forged.videos, forged.labels,
        forged.groups, store=tmp_path / "store",
    )  # fmt: skip
    score = scores["frequency"].to_numpy()
    seen = ~np.isnan(score)  # dlib finds no face in some of these portraits
    assert seen.mean() > 0.8
    assert roc_auc_score(np.array(forged.labels)[seen], score[seen]) > 0.7


def soften(image, landmarks, draw, donor):
    """A pseudo-fake whose middle has lost its detail."""
    fake, (n, m) = image.copy(), (len(image) // 4, len(image) - len(image) // 4)
    fake[n:m, n:m] = cv2.GaussianBlur(image, (0, 0), draw.uniform(0.6, 1.2))[n:m, n:m]
    return image, fake


@pytest.fixture
def genuine():
    """Twelve people, one video each: noise of another strength."""
    draw = np.random.default_rng(0)
    return [
        np.clip(draw.normal(128, s, (3, 48, 48, 3)), 0, 255).astype("u1")
        for s in np.linspace(20, 60, 12)
    ]


FROM_REALS = FrequencyDetector(
    "crop", image_size=48, n_frames=3, pseudo_fakes=soften, n_drawn=12, random_state=0
)


@pytest.mark.slow
def test_frequencies_are_learned_from_reals_alone(genuine):
    assert FROM_REALS.fits_on_reals
    detector = clone(FROM_REALS).fit(genuine[::2], ["REAL"] * 6, groups=range(6))
    assert detector.classes_.tolist() == ["FAKE", "REAL"]
    soft = [
        np.stack([soften(f, None, np.random.default_rng(1), None)[1] for f in video])
        for video in genuine[1::2]
    ]
    assert detector.fake_score(genuine[1::2]).max() < detector.fake_score(soft).min()
    with pytest.raises(ValueError, match="both classes"):
        clone(FROM_REALS).set_params(pseudo_fakes=None).fit(genuine, [0] * 12)


@pytest.mark.slow
def test_what_is_drawn_depends_on_the_seed_alone(genuine):
    def weights(videos=genuine[:4], **params):
        return clone(FROM_REALS).set_params(**params).fit(videos, [0] * 4).coef_

    plain = weights()
    np.testing.assert_array_equal(plain, weights())
    np.testing.assert_array_equal(plain, weights(genuine[3::-1]))
    for changed in ({"random_state": 1}, {"n_drawn": 13}, {"augment": False}):
        assert np.abs(plain - weights(**changed)).max() > 1e-6, changed


@pytest.mark.slow
def test_pseudo_fakes_come_beside_real_fakes_where_they_are_asked_for(genuine):
    y = np.arange(12) % 2
    auto, asked = (
        clone(FROM_REALS).set_params(pseudo_fakes=p).fit(genuine, y)
        for p in ("auto", soften)
    )
    assert np.abs(auto.coef_ - asked.coef_).max() > 1e-3
    drawn = clone(FROM_REALS).set_params(pseudo_fakes="auto", n_drawn=99)
    np.testing.assert_array_equal(drawn.fit(genuine, y).coef_, auto.coef_)


def test_a_pseudo_fake_of_ones_own_is_part_of_the_identity():
    one, other = (
        clone(FROM_REALS).set_params(pseudo_fakes=p).identity() for p in (soften, noise)
    )
    assert one != other
    assert isinstance(one["params"]["pseudo_fakes"], str)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"n_drawn": 0}, ValueError, "n_drawn must be a whole number >= 1; got 0"),
        ({"augment": 3}, TypeError, "augment must be a bool or a callable.*got int"),
        ({"pseudo_fakes": 3}, ValueError, "pseudo_fakes must be 'auto'.*got 3"),
    ],
)
def test_bad_ways_of_making_fakes_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        clone(FROM_REALS).set_params(**wrong).fit(["a.mp4", "b.mp4"], [0, 0])
