"""The detector of flicker: what is measured in a clip, and what is learned."""

import cv2
import numpy as np
import pytest
from sklearn.base import clone

from base_models import FlickerDetector
from base_models.detectors.flicker import clip_flicker
from base_models.faces import Face
from base_models.scoring.per_face import look_closely

FIRST, SECOND, BETWEEN, TOGETHER = (slice(49 * n, 49 * (n + 1)) for n in range(4))
STEADY = FlickerDetector("crop", image_size=48, n_frames=4, random_state=0)


def scene(seed=0, size=48):
    """A picture with some grain, RGB."""
    noise = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def drift(seed=0, n_frames=9, size=48):
    """A picture that moves on by a pixel each frame."""
    return np.stack([np.roll(scene(seed, size), t, axis=1) for t in range(n_frames)])


def waver(video, landmarks=None, draw=None, donor=None):
    """The middle of each frame out of place, another way each time; and as it was."""
    draw = draw or np.random.default_rng(5)
    n, m = video.shape[1] // 4, video.shape[1] - video.shape[1] // 4
    fake = video.copy()
    for frame, real in zip(fake, video, strict=True):
        shift = draw.integers(-2, 3, 2)
        frame[n:m, n:m] = np.roll(real, shift, axis=(0, 1))[n:m, n:m]
    return video, fake


def by_zone(plane):
    """Values of the four zones of a plane, by a loop over pixels."""
    zones = [[] for _ in range(4)]
    height, width = plane.shape
    for i in range(height):
        for j in range(width):
            y, x = (i + 0.5) / height - 0.5, (j + 0.5) / width - 0.5
            away = np.hypot(y / 1.2, x)
            zones[sum(away >= r for r in (0.156, 0.268, 0.379))].append(plane[i, j])
    return [np.array(zone) for zone in zones]


def test_the_finest_scale_is_measured_zone_by_zone():
    clip = drift()[:3]
    luma = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32) for f in clip]
    change = luma[1] - luma[0]
    fine = change - cv2.pyrUp(cv2.pyrDown(change), dstsize=(48, 48))
    zones = by_zone(fine)
    spread = np.array([zone.std() + 0.05 for zone in zones])
    expected = [
        *np.log(spread),
        *np.diff(np.log(spread)),
        *[np.mean(np.abs(zone) < 0.25) for zone in zones],
        *[
            np.log(np.mean((z / s) ** 4) + 0.1)
            for z, s in zip(zones, spread, strict=True)
        ],
    ]
    np.testing.assert_allclose(clip_flicker(clip)[FIRST][:15], expected, atol=1e-4)


def test_even_brightening_cancels_in_the_difference_and_trembling_doubles():
    still = scene().astype(int) // 2
    brighter = np.stack([still, still + 8, still + 16]).astype(np.uint8)
    found = clip_flicker(brighter)
    assert found[FIRST][-4:] == pytest.approx(np.log(8.05), abs=0.01)
    assert found[BETWEEN][-4:] == pytest.approx(np.log(0.05), abs=0.05)
    trembling = np.stack([still, still + 8, still]).astype(np.uint8)
    assert clip_flicker(trembling)[BETWEEN][-4:] == pytest.approx(
        np.log(16.05), abs=0.01
    )


def test_changes_of_even_motion_go_together_more_than_of_trembling():
    wave = 128 + 100 * np.sin(2 * np.pi * np.arange(96) / 32)
    picture = np.tile(np.uint8(wave)[:, None], (96, 1, 3))
    even = np.stack([np.roll(picture, t, axis=1) for t in range(3)])
    back = even[[0, 1, 0]]
    correlation = slice(0, None, 4)
    assert clip_flicker(even)[TOGETHER][correlation].min() > 0.5
    assert clip_flicker(back)[TOGETHER][correlation].max() < -0.5


def test_time_turned_round_changes_sides_alone():
    clip = drift()[:3]
    found, turned = clip_flicker(clip), clip_flicker(clip[::-1])
    np.testing.assert_allclose(found[FIRST], turned[SECOND], atol=1e-5)
    np.testing.assert_allclose(found[BETWEEN], turned[BETWEEN], atol=1e-5)
    np.testing.assert_allclose(found[TOGETHER], turned[TOGETHER], atol=1e-5)


@pytest.mark.parametrize("size", [48, 51, 224])
@pytest.mark.parametrize("shade", [0, 255])
def test_a_clip_without_change_has_finite_features(shade, size):
    found = clip_flicker(np.full((3, size, size, 3), shade, np.uint8))
    assert np.isfinite(found).all()
    assert found.shape == (163,)


@pytest.fixture(scope="module")
def people():
    """Twelve pictures that drift, and the same with a middle that wavers."""
    real = [drift(seed) for seed in range(12)]
    fake = [
        waver(video, draw=np.random.default_rng(n))[1] for n, video in enumerate(real)
    ]
    return real, fake


def test_what_wavers_is_told_from_what_drifts(people):
    real, fake = people
    detector = clone(STEADY).fit(real[:8] + fake[:8], [0] * 8 + [1] * 8)
    score = detector.fake_score(real[8:] + fake[8:])
    assert score[4:].min() > 0.5 > score[:4].max()
    (timeline,) = detector.score_frames(fake[8:9])
    assert timeline["frame"].tolist() == [0, 3, 5, 8]


@pytest.mark.slow
def test_it_learns_from_reals_alone(people):
    real, fake = people
    detector = clone(STEADY).set_params(pseudo_fakes=waver, n_drawn=8)
    assert detector.fits_on_reals
    detector.fit(real[:8], [0] * 8, groups=range(8))
    score = detector.fake_score(real[8:] + fake[8:])
    assert score[4:].min() > score[:4].max()
    again = clone(detector).set_state(*detector.get_state())
    np.testing.assert_array_equal(again.fake_score(fake), detector.fake_score(fake))


@pytest.mark.slow
def test_what_is_drawn_depends_on_the_seed_alone(people):
    real = people[0][:4]

    def weights(videos=real, **params):
        params = {"pseudo_fakes": waver, "n_drawn": 6, **params}
        return clone(STEADY).set_params(**params).fit(videos, [0] * 4).coef_

    plain = weights()
    np.testing.assert_array_equal(plain, weights(real[::-1]))
    for changed in ({"random_state": 1}, {"n_drawn": 7}, {"augment": False}):
        assert np.abs(plain - weights(**changed)).max() > 1e-6, changed


@pytest.mark.slow
def test_the_librarys_own_fakes_are_made_of_clips(people):
    detector = clone(STEADY).set_params(n_drawn=4).fit(people[0][:4], [0] * 4)
    assert np.isfinite(detector.coef_).all()
    assert np.abs(detector.coef_).max() > 0


@pytest.mark.slow
def test_labels_without_meaning_give_chance():
    """Twelve groups with both labels and nothing to tell them by, many times."""
    from sklearn.metrics import roc_auc_score

    from ensemble import out_of_fold_scores

    areas = []
    for seed in range(8):
        videos = [drift(100 * seed + n, n_frames=5) for n in range(24)]
        y, groups = np.arange(24) % 2, np.arange(24) // 2
        table = out_of_fold_scores(
            {"flicker": clone(STEADY)}, videos, y, groups, resampling=3
        )
        areas.append(roc_auc_score(y, table["flicker"]))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.12)


def test_a_still_video_has_no_score_and_a_reason(people):
    real, fake = people
    detector = clone(STEADY)
    still = np.stack([scene(99)] * 9)
    with pytest.warns(UserWarning, match=r"left out of training.*nothing moves"):
        detector.fit([*real, *fake, still], [0] * 12 + [1] * 13)
    assert np.isnan(detector.fake_score([still])[0])


class Square:
    """Finds the one bright square: a stand-in for a face finder."""

    def find(self, frame):
        rows, columns = np.nonzero(frame[:, :, 0] > 250)
        if not len(rows):
            return []
        box = columns.min(), rows.min(), columns.max(), rows.max()
        return [Face(tuple(map(int, box)), 1.0)]


def test_a_close_look_follows_its_clips(people):
    real, fake = people
    detector = clone(STEADY).set_params(view="face", finder=Square())
    framed = []
    for videos in (real, fake):
        for video in videos[:4]:
            scene = np.full((9, 80, 96, 3), 40, np.uint8)
            scene[:, 16:64, 24:72] = video // 2 + 20
            scene[:, [16, 63], 24:72, 0] = scene[:, 16:64, [24, 71], 0] = 255
            framed.append(scene)
    detector.fit(framed, [0] * 4 + [1] * 4)
    look = look_closely([detector], framed[0])
    assert look.scores.shape == (1, 1)
    assert look.scores.iloc[0, 0] == pytest.approx(detector.fake_score(framed[:1])[0])
    assert look.timeline["frame"].tolist() == [0, 3, 5, 8]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"image_size": 40}, ValueError, "image_size must be a whole number >= 48"),
        ({"n_drawn": 0}, ValueError, "n_drawn must be a whole number >= 1; got 0"),
        ({"augment": 3}, TypeError, "augment must be a bool or a callable.*got int"),
        ({"pseudo_fakes": 3}, ValueError, "pseudo_fakes must be 'auto'.*got 3"),
    ],
)
def test_bad_parameters_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        clone(STEADY).set_params(**wrong).fit(["a.mp4", "b.mp4"], [0, 0])


@pytest.mark.slow
def test_swapped_portraits_are_told_by_what_was_learned_from_reals(tmp_path):
    """Forged from other people than those it learned from."""
    from sklearn.metrics import roc_auc_score

    from ensemble.datasets import make_forgeries

    forged = make_forgeries(
        tmp_path / "clips", n_identities=24, random_state=0, verbose=0
    )
    y, groups = np.array(forged.labels), np.array(forged.groups)
    learn = np.isin(groups, np.unique(groups)[::2])
    videos = np.array(forged.videos, dtype=object)
    detector = FlickerDetector(random_state=0, store=tmp_path / "store", n_drawn=60)
    detector.fit(videos[learn & (y == 0)], y[learn & (y == 0)])
    score = detector.fake_score(videos[~learn])
    seen = ~np.isnan(score)
    assert roc_auc_score(y[~learn][seen], score[seen]) > 0.65
