import cv2
import numpy as np
import pytest

from base_models.augment import Augmentation, cut_out, recompress_clip, resolve_augment

SWITCHES = (
    "cutout flip affine light gray blur noise rescale jpeg h264".split()  # noqa: SIM905
)


@pytest.fixture(scope="module")
def image():
    """A smooth colourful picture with some grain, 72 x 88 px."""
    draw = np.random.default_rng(0)
    small = draw.integers(40, 216, (5, 6, 3), np.uint8)
    large = cv2.resize(small, (88, 72), interpolation=cv2.INTER_CUBIC).astype(float)
    grain = draw.normal(0, 6, large.shape)
    return np.clip(large + grain, 0, 255).astype(np.uint8)


def changed_by(image, seed=0, landmarks=None, **switches):
    augmentation = Augmentation.none(**switches)
    return augmentation(image, np.random.default_rng(seed), landmarks)


def fine_detail(image):
    return np.abs(cv2.Laplacian(image.astype(np.float32), -1)).mean()


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_changes_the_image_and_keeps_its_form(image, switch):
    changed = changed_by(image, **{switch: 1.0})
    assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
    assert (changed != image).any()
    assert abs(changed.mean() - image.mean()) < 90


def test_all_off_changes_nothing(image):
    np.testing.assert_array_equal(changed_by(image), image)


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_is_the_chance_of_its_change(image, switch):
    changed = [
        (changed_by(image, seed, **{switch: 0.3}) != image).any() for seed in range(60)
    ]
    assert 0.12 < np.mean(changed) < 0.5


def test_equal_generators_change_two_images_alike(image):
    other = np.where(image > 250, image, image + 1).astype(np.uint8)
    augmentation = Augmentation.none(flip=0.5, affine=1.0)
    for seed in range(5):
        one = augmentation(image, np.random.default_rng(seed)).astype(int)
        two = augmentation(other, np.random.default_rng(seed)).astype(int)
        assert np.abs(one - two).max() <= 2


def test_turning_a_switch_off_leaves_the_others_as_they_were(image):
    for seed in range(8):
        with_gray = changed_by(image, seed, flip=0.5, affine=0.5, gray=0.0)
        without = changed_by(image, seed, flip=0.5, affine=0.5, gray=0.0, jpeg=0.0)
        np.testing.assert_array_equal(with_gray, without)


def test_flip_is_a_mirror(image):
    np.testing.assert_array_equal(changed_by(image, flip=1.0), image[:, ::-1])


def test_gray_has_one_colour(image):
    assert np.ptp(changed_by(image, gray=1.0).astype(int), axis=2).max() == 0


def test_the_affine_warp_is_that_of_its_parameters(image):
    still = changed_by(image, affine=1.0, rotation=0.0, scale=0.0, shift=0.0)
    assert np.abs(still.astype(int) - image).max() <= 1
    turned = changed_by(image, affine=1.0, rotation=0.0, scale=0.0, shift=0.2)
    assert np.abs(turned.astype(int) - image).mean() > 3


def test_light_without_ranges_changes_nothing(image):
    off = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    still = changed_by(image, light=1.0, **off)
    assert np.abs(still.astype(int) - image).max() <= 1
    for name, most in {"brightness": 0.2, "contrast": 0.3, "hue": 30.0}.items():
        moved = changed_by(image, light=1.0, **(off | {name: most}))
        assert np.abs(moved.astype(int) - image).mean() > 1
    gray = changed_by(image, gray=1.0)
    moved = changed_by(gray, light=1.0, **(off | {"saturation": 1.0, "hue": 90.0}))
    assert np.abs(moved.astype(int) - gray).max() <= 1  # gray has neither


@pytest.mark.parametrize("switch", ["blur", "rescale"])
def test_detail_is_lost(image, switch):
    for seed in range(5):
        changed = changed_by(image, seed, **{switch: 1.0})
        assert fine_detail(changed) < fine_detail(image)


def test_noise_adds_detail(image):
    assert fine_detail(changed_by(image, noise=1.0)) > fine_detail(image)


@pytest.mark.parametrize(
    ("switch", "ranges"),
    [("jpeg", [(98, 100), (5, 8)]), ("h264", [(3, 4), (45, 47)])],
)
def test_stronger_compression_is_further_from_the_original(image, switch, ranges):
    name = {"jpeg": "jpeg_quality", "h264": "crf"}[switch]
    weak, strong = (
        np.abs(changed_by(image, **{switch: 1.0, name: one}).astype(int) - image).mean()
        for one in ranges
    )
    assert weak < 6 < strong


def test_clips_of_any_size_are_recompressed(image):
    frames = np.stack([image[:71, :87]] * 3)
    again = recompress_clip(frames, crf=10)
    assert again.shape == frames.shape
    assert np.abs(again.astype(int) - frames).mean() < 6


def test_cut_outs_follow_the_landmarks():
    white = np.full((100, 100, 3), 255, np.uint8)
    landmarks = np.random.default_rng(0).uniform(20, 80, (68, 2))
    landmarks[36:48] = np.random.default_rng(1).uniform((30, 30), (70, 40), (12, 2))
    landmarks[27:36] = np.random.default_rng(1).uniform((45, 40), (55, 60), (9, 2))
    landmarks[48:68] = np.random.default_rng(1).uniform((35, 70), (65, 80), (20, 2))
    shares = set()
    for seed in range(30):
        black = (cut_out(white, np.random.default_rng(seed), landmarks) == 0).all(2)
        rows, columns = np.nonzero(black)
        boxes = {
            "eyes": (25, 45),
            "nose": (35, 65),
            "mouth": (65, 85),
        }
        inside = [
            name
            for name, (low, high) in boxes.items()
            if low <= rows.min() and rows.max() <= high and columns.min() > 20
        ]
        shares.add(inside[0] if inside else "half")
    assert shares == {"eyes", "nose", "mouth", "half"}


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"jpeg": 2.0}, "jpeg is a chance"),
        ({"jpeg_quality": (80, 40)}, "jpeg_quality must be"),
        ({"crf": (0, 60)}, "crf must be"),
    ],
)
def test_bad_switches_are_refused(image, switches, message):
    with pytest.raises(ValueError, match=message):
        changed_by(image, **switches)


@pytest.mark.slow_after(9)
@pytest.mark.parametrize("switch", SWITCHES)
def test_a_clip_changes_as_one(image, switch):
    changed = changed_by(np.stack([image] * 3), **{switch: 1.0})
    assert changed.shape == (3, *image.shape)
    if switch == "noise":  # another grain in each frame
        assert (changed[0] != changed[1]).mean() > 0.5
    elif switch == "h264":  # one video, whose later frames lean on those before
        same = [
            recompress_clip(np.stack([image] * n), crf, delays=True)[n - 5 : n - 2]
            for crf in range(20, 46)
            for n in (7, 8, 9, 10)
        ]
        assert any((changed == clip).all() for clip in same)
    else:
        alone = changed_by(image, **{switch: 1.0})
        assert all((frame == alone).all() for frame in changed)


def test_clips_go_through_a_video_codec():
    assert resolve_augment(True, clip_length=3).get_params() == (
        Augmentation.of_clips().get_params()
    )
    assert Augmentation.of_clips().jpeg == 0


def test_a_clip_is_coded_as_a_part_of_a_video_that_goes_back_and_forth(image):
    clip = np.stack([np.roll(image, 2 * time, axis=1) for time in range(3)])
    videos = {
        2: [2, 1, 0, 1, 2, 1, 0],
        3: [1, 2, 1, 0, 1, 2, 1, 0],
        4: [0, 1, 2, 1, 0, 1, 2, 1, 0],
        5: [1, 0, 1, 2, 1, 0, 1, 2, 1, 0],
    }
    expected = [
        recompress_clip(clip[video], 40, delays=True)[before : before + 3]
        for before, video in videos.items()
    ]
    found = set()
    for seed in range(16):
        changed = changed_by(clip, seed, h264=1.0, crf=(40, 40))
        found |= {n for n, one in enumerate(expected) if (changed == one).all()}
    assert found == {0, 1, 2, 3}
