import cv2
import numpy as np
import pytest
from skimage.data import lfw_subset

from base_models.augmentation import image_blending
from base_models.augmentation.pseudo_fakes import PseudoFakes
from base_models.augmentation.regions import head_outline
from base_models.landmarks import image_landmarks

# Those that need no autoencoder; see test_reconstructed.py
KINDS = PseudoFakes().shares()


@pytest.fixture(scope="module")
def faces():
    """Two real faces of 112 px within 168 px, and their landmarks."""
    images = []
    for picture in (255 * lfw_subset()[[3, 30]]).astype(np.uint8):
        large = cv2.resize(picture, (112, 112), interpolation=cv2.INTER_CUBIC)
        large = cv2.copyMakeBorder(large, 28, 28, 28, 28, cv2.BORDER_REFLECT_101)
        images.append(cv2.cvtColor(large, cv2.COLOR_GRAY2RGB))
    return images, image_landmarks(images, margin=1.5)


def make_pair(faces, kind, seed):
    (image, other), (points, others) = faces
    draw = np.random.default_rng(seed)
    return PseudoFakes([kind])(image, points, draw, donor=(other, others))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_fake_differs_from_the_real_one_inside_the_face_only(faces, kind):
    (left, top), (right, bottom) = faces[1][0].min(0), faces[1][0].max(0)
    if kind == "reenacted":  # at times the whole head
        top = head_outline(faces[1][0])[:, 1].min()
    slack = 0.2 * (right - left)
    rows, columns = np.indices((168, 168))
    away = (columns < left - slack) | (columns > right + slack) | (rows < top - slack)
    away |= rows > bottom + slack
    assert away.mean() > 0.1
    differences = []
    for seed in range(12):
        real, fake = make_pair(faces, kind, seed)
        assert real.shape == fake.shape == (168, 168, 3)
        assert real.dtype == fake.dtype == np.uint8
        changed = np.abs(real.astype(int) - fake)
        assert changed[away].mean() < 0.2
        differences.append(changed.mean())
    assert min(differences) > 0
    assert 0.2 < np.median(differences) < 20


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_decides_everything(faces, kind):
    first, again, another = (make_pair(faces, kind, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first[1] != another[1]).any()


def test_what_goes_in_stays_as_it_was(faces):
    before = [np.copy(image) for image in faces[0]]
    for kind in KINDS:
        for seed in range(4):
            make_pair(faces, kind, seed)
    np.testing.assert_array_equal(before, faces[0])


def test_real_ones_change_in_self_blending_alone(faces):
    for kind in KINDS:
        changed = [
            (make_pair(faces, kind, seed)[0] != faces[0][0]).any() for seed in range(12)
        ]
        assert any(changed) == (kind == "self_blended")
        assert not all(changed)


def test_the_real_one_is_kept_on_request(faces):
    (image, _), (points, _) = faces
    for seed in range(12):
        real, fake = PseudoFakes(["self_blended"])(
            image, points, np.random.default_rng(seed), keep_real=True
        )
        np.testing.assert_array_equal(real, image)
        assert (fake != image).any()


def test_poisson_blending_changes_nothing_outside_its_region(faces, monkeypatch):
    (image, other), (points, others) = faces
    masks, blend = [], image_blending.blend_poisson

    def recording(face, target, mask):
        masks.append(mask.copy())
        return blend(face, target, mask)

    monkeypatch.setattr(image_blending, "blend_poisson", recording)
    for seed in range(20):
        before = len(masks)
        real, fake = PseudoFakes(["swapped"])(
            image, points, np.random.default_rng(seed), donor=(other, others)
        )
        for mask in masks[before:]:
            assert not (real != fake)[mask == 0].any()
    assert masks


def test_a_donor_is_seen_in_the_swap(faces):
    (image, other), (points, others) = faces
    nearer = []
    for seed in range(20):
        pairs = [
            PseudoFakes([kind])(
                image, points, np.random.default_rng(seed), donor=(other, others)
            )
            for kind in ("swapped", "self_blended")
        ]
        differences = [np.abs(r.astype(int) - f).mean() for r, f in pairs]
        nearer.append(differences[0] > differences[1])
    assert np.mean(nearer) > 0.5


def test_without_a_donor_a_swap_is_a_self_blend(faces):
    image, points = faces[0][0], faces[1][0]
    alone = PseudoFakes(["swapped"])(image, points, np.random.default_rng(1))
    blended = PseudoFakes(["self_blended"])(image, points, np.random.default_rng(1))
    np.testing.assert_array_equal(alone, blended)


def test_odds_are_followed(faces):
    image, points = faces[0][0], faces[1][0]
    maker = PseudoFakes({"self_blended": 1, "reenacted": 0})
    only = PseudoFakes(["self_blended"])
    for seed in range(6):
        np.testing.assert_array_equal(
            maker(image, points, np.random.default_rng(seed))[1].mean() > 0,
            only(image, points, np.random.default_rng(seed))[1].mean() > 0,
        )
    names, odds = maker._odds()
    assert dict(zip(names, odds, strict=True)) == {"self_blended": 1, "reenacted": 0}


@pytest.mark.parametrize(
    "kinds", [["blended"], [], "swapped", {"swapped": -1}, {"swapped": 0}]
)
def test_kinds_that_are_none_are_refused(faces, kinds):
    with pytest.raises(ValueError, match="kinds must"):
        PseudoFakes(kinds)(faces[0][0], faces[1][0], np.random.default_rng(0))


def test_landmarks_of_a_crop_without_a_face_are_those_of_its_middle():
    (points,) = image_landmarks([np.full((130, 130, 3), 90, np.uint8)])
    assert points.shape == (68, 2)
    assert (np.abs(points.mean(0) - 65) < 20).all()


def test_landmarks_follow_the_face(faces):
    moved = np.roll(faces[0][0], 6, axis=1)
    (points,) = image_landmarks([moved], margin=1.5)
    shift = (points - faces[1][0]).mean(0)
    assert abs(shift[0] - 6) < 3
    assert abs(shift[1]) < 3


def make_clip(faces, kind, seed):
    """A pair of clips of faces that keep still."""
    images, points = faces
    image, other = (np.stack([i] * 3) for i in images)
    landmarks, others = (np.stack([p] * 3) for p in points)
    draw = np.random.default_rng(seed)
    return PseudoFakes([kind])(image, landmarks, draw, donor=(other, others))


@pytest.mark.parametrize("kind", KINDS)
def test_a_forged_clip_wavers_where_the_real_one_keeps_still(faces, kind):
    shakes = []
    for seed in range(8):
        real, fake = make_clip(faces, kind, seed)
        assert real.shape == fake.shape == (3, 168, 168, 3)
        assert (real == real[:1]).all()
        steps = np.abs(np.diff(fake.astype(int), axis=0)).mean((1, 2, 3))
        shakes.append(steps.mean())
        # one road and one look: frames differ less from each other than from the real
        away = np.abs(fake.astype(int) - real).mean()
        assert steps.mean() < 2 * away + 0.1
    assert min(shakes) > 0
    assert max(shakes) > 3 * min(shakes)  # some clips hardly waver


def test_a_clip_is_decided_by_its_generator(faces):
    one, again, other = (make_clip(faces, "swapped", seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_kinds_are_split_once_with_their_shares():
    maker = PseudoFakes({"self_blended": 6, "swapped": 3, "reenacted": 1})
    halves = [half.kinds for half in maker.split(random_state=1)]
    assert [len(kinds) for kinds in halves] == [2, 1]
    assert halves[0] | halves[1] == {
        "self_blended": 0.6,
        "swapped": 0.3,
        "reenacted": 0.1,
    }
    assert halves == [half.kinds for half in maker.split(random_state=1)]
    splits = [frozenset(PseudoFakes().split(seed)[0].kinds) for seed in range(20)]
    assert len(set(splits)) == 6  # two of four
    with pytest.raises(ValueError, match="two or more to be split; got swapped"):
        PseudoFakes({"swapped": 1, "reenacted": 0}).split()
