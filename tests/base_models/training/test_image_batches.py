import numpy as np
import pytest
import torch

from base_models.augmentation.augment import resolve_augment
from base_models.store import Store
from base_models.training.batches import FeatureSamples
from base_models.training.image_batches import ImageSamples, SizedFakes
from base_models.training.validation import Validation, held_out_groups
from base_models.views import ViewRecipe, Views


@pytest.fixture
def views(tmp_path):
    """Eight videos of four frames, each of one shade: 10 times its number."""
    videos = [np.full((4, 16, 16, 3), 10 * n, np.uint8) for n in range(8)]
    recipe = ViewRecipe("frame", image_size=16, n_frames=4)
    return Views(videos, recipe, Store(tmp_path))


def as_they_are(images):
    return images


IS_FAKE = np.array([0, 0, 0, 0, 0, 0, 1, 1])
GROUPS = np.array([0, 0, 0, 0, 1, 2, 2, 3])


def make(views, is_fake=IS_FAKE, groups=GROUPS, **kwargs):
    return ImageSamples(views, is_fake, groups, np.ones(8), as_they_are, **kwargs)


def drawn(samples, epochs):
    """How often each video was drawn."""
    counts = np.zeros(8)
    for epoch in range(epochs):
        for batch in samples.batches(epoch):
            shades = batch.inputs[:, 0, 0, 0].numpy() // 10
            counts += np.bincount(shades, minlength=8)
    return counts


def test_classes_and_groups_are_drawn_equally_often(views):
    counts = drawn(make(views, frames_per_epoch=4), epochs=6)
    assert counts.sum() == 6 * 8 * 4
    assert abs(counts[:6].sum() - counts[6:].sum()) <= 12
    of_group = [counts[:4].sum(), counts[4], counts[5]]
    np.testing.assert_allclose(of_group, np.mean(of_group), atol=7)


def test_without_balance_videos_are_drawn_equally_often(views):
    samples = make(views, frames_per_epoch=3, balance_groups=False)
    np.testing.assert_array_equal(drawn(samples, epochs=2), 6)


def test_an_epoch_has_the_steps_it_says(views):
    samples = make(views, frames_per_epoch=4, batch_size=6)
    batches = list(samples.batches(0))
    assert len(batches) == samples.steps == 6
    assert sum(len(batch.label) for batch in batches) == 32
    for batch in batches:
        fake = batch.inputs[:, 0, 0, 0] >= 60
        assert torch.equal(fake.float(), batch.label)


def test_epochs_differ_and_repeat(views):
    samples = make(views)
    first, again, other = (
        torch.cat([batch.inputs for batch in samples.batches(epoch)])
        for epoch in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [0, 8, None])
def test_any_number_of_threads_makes_the_same_batches(views, n_workers):
    kwargs = {
        "augment": resolve_augment(True),
        "pseudo_fakes": fake_of,
        "landmarks": lambda row: np.zeros((4, 68, 2)),
        "frames_per_epoch": 8,
        "batch_size": 3,
    }
    expected = list(make(views, **kwargs).batches(1))
    found = list(make(views, n_workers=n_workers, **kwargs).batches(1))
    assert len(found) == len(expected) > 20
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.label, other.label)


def fake_of(image, landmarks, draw, donor):
    """A pseudo-fake is 100 brighter, and knows its donor."""
    donors.append(None if donor is None else int(donor[0][0, 0, 0]) // 10)
    return image, image + 100


donors = []


def test_reals_come_with_their_pseudo_fakes(views):
    donors.clear()
    samples = make(
        views,
        is_fake=np.zeros(8, int),
        pseudo_fakes=fake_of,
        landmarks=lambda row: np.zeros((4, 68, 2)),
        batch_size=4,
        frames_per_epoch=2,
    )
    for batch in samples.batches(0):
        shade = batch.inputs[:, 0, 0, 0].int()
        assert torch.equal(
            batch.label, torch.tensor([0.0, 1.0]).repeat(len(shade) // 2)
        )
        assert torch.equal(shade[1::2] - shade[::2], torch.full_like(shade[::2], 100))
    assert None not in donors


def test_donors_are_real_and_of_other_groups(views):
    seen = []

    def spy(image, landmarks, draw, donor):
        seen.append((image[0, 0, 0] // 10, donor[0][0, 0, 0] // 10))
        return image, image

    samples = make(
        views,
        pseudo_fakes=spy,
        landmarks=lambda row: np.zeros((4, 68, 2)),
        frames_per_epoch=8,
    )
    list(samples.batches(0))
    assert len(seen) > 20
    for video, donor in seen:
        assert IS_FAKE[video] == IS_FAKE[donor] == 0
        assert GROUPS[video] != GROUPS[donor]


def test_a_pair_is_changed_alike(views):
    changes = []

    def spy(image, draw, landmarks):
        changes.append(draw.random())
        return image

    samples = make(
        views,
        is_fake=np.zeros(8, int),
        pseudo_fakes=fake_of,
        landmarks=lambda row: np.zeros((4, 68, 2)),
        augment=spy,
    )
    list(samples.batches(0))
    assert changes[::2] == changes[1::2]
    assert len(set(changes)) == len(changes) / 2


def test_mixup_stays_within_the_group_and_labels_by_share(views):
    samples = make(views, mixup=1.0, frames_per_epoch=8)
    mixed = []
    for batch in samples.batches(0):
        for shade, label in zip(batch.inputs[:, 0, 0, 0], batch.label, strict=True):
            if 0 < label < 1:
                mixed.append(float(label))
                # video 6 (60) with video 5 (50), the real one of its group
                assert abs(50 + 10 * label - int(shade)) <= 0.51
    assert len(mixed) > 5
    assert all(label >= 0.5 for label in mixed)


def test_mixup_of_a_pseudo_fake_is_with_its_own_real(views):
    samples = make(
        views,
        is_fake=np.zeros(8, int),
        pseudo_fakes=fake_of,
        landmarks=lambda row: np.zeros((4, 68, 2)),
        mixup=1.0,
    )
    shares = []
    for batch in samples.batches(0):
        shade = batch.inputs[:, 0, 0, 0].float()
        assert (batch.label[::2] == 0).all()
        added = (shade[1::2] - shade[::2]) / 100  # a whole fake is 100 brighter
        assert torch.allclose(added, batch.label[1::2], atol=0.0051)
        shares += batch.label[1::2].tolist()
    assert min(shares) >= 0.5
    assert len(set(shares)) > 20


def test_with_pairs_each_fake_comes_with_the_real_of_its_group_most_like_it(views):
    # of the group of videos 1 (10), 4 (40) and 6 (60), fake is 6
    groups = np.array([0, 1, 0, 0, 1, 2, 1, 3])
    changes = []

    def noting(image, draw, landmarks):
        changes.append(draw.random())
        return image

    samples = make(views, groups=groups, pairs=True, augment=noting, batch_size=4)
    pairs = 0
    for batch in samples.batches(0):
        shades = batch.inputs[:, 0, 0, 0].tolist()
        for place in np.flatnonzero(np.array(shades) == 60):
            assert shades[place - 1] == 40
            assert batch.label[place - 1 : place + 1].tolist() == [0, 1]
            pairs += 1
        assert shades.count(40) == shades.count(60)  # it comes with its fake alone
    assert pairs > 3
    assert len(changes) - len(set(changes)) == pairs  # both are changed alike


def test_pairs_show_the_same_frame_and_keep_the_size_of_an_epoch(tmp_path):
    clock = np.arange(4, dtype=np.uint8)[:, None, None, None]
    real = np.broadcast_to(10 * clock, (4, 16, 16, 3)).copy()
    recipe = ViewRecipe("frame", image_size=16, n_frames=4)
    views = Views([real, real + 100], recipe, Store(tmp_path))
    samples = ImageSamples(
        views, np.array([0, 1]), np.zeros(2, int), np.ones(2), as_they_are,
        pairs=True, frames_per_epoch=8, batch_size=4,
    )  # fmt: skip
    shown = torch.cat([batch.inputs[:, 0, 0, 0] for batch in samples.batches(0)])
    assert len(shown) == 16
    assert samples.steps == 4
    assert torch.equal(shown[::2] + 100, shown[1::2])


def test_pairs_without_a_real_in_the_group_change_nothing(views):
    groups = np.array([0, 0, 0, 0, 1, 1, 2, 3])
    for one, other in zip(
        make(views, groups=groups).batches(0),
        make(views, groups=groups, pairs=True).batches(0),
        strict=True,
    ):
        assert torch.equal(one.inputs, other.inputs)


def test_a_real_in_a_pair_weighs_what_it_weighs(views):
    weight = np.arange(8.0)
    samples = ImageSamples(views, IS_FAKE, GROUPS, weight, as_they_are, pairs=True)
    for batch in samples.batches(0):
        shade = batch.inputs[:, 0, 0, 0].float()
        assert torch.equal(batch.weight, shade / 10)


def test_shares_of_several_processes_make_the_batch(views):
    def noisy(image, draw, landmarks):
        return image + draw.integers(0, 10, dtype=np.uint8)

    samples = make(views, augment=noisy)
    shares = [samples.batches(1, slice(rank, None, 3)) for rank in range(3)]
    for whole, *parts in zip(samples.batches(1), *shares, strict=True):
        for rank, part in enumerate(parts):
            assert torch.equal(part.inputs, whole.inputs[rank::3])
            assert torch.equal(part.label, whole.label[rank::3])
    with pytest.raises(ValueError, match="batch of 2 cannot be shared by 3 processes"):
        list(make(views, batch_size=2).batches(0, slice(2, None, 3)))


class Wide:
    """A maker that asks for larger images and gives them back as they are."""

    view_scale, view_margin_scale = 1.5, 1.2

    def __call__(self, image, landmarks, draw, donor):
        return image, image

    def for_size(self, image_size):
        def cut(image, landmarks, draw, donor):
            assert donor[0].shape == image.shape == (24, 24, 3)
            return image[:image_size, :image_size], image[-image_size:, -image_size:]

        return cut


def test_a_maker_may_work_on_larger_images(views):
    fakes = SizedFakes(Wide(), 16)
    recipe = fakes.source_recipe(ViewRecipe("face", image_size=16, margin=1.3))
    assert (recipe.image_size, recipe.margin) == (24, pytest.approx(1.56))
    wide = Views(views.videos, fakes.source_recipe(views.recipe), views.store)
    samples = make(
        views, pseudo_fakes=fakes, sources=wide, landmarks=lambda row: np.zeros((4, 2))
    )
    for batch in samples.batches(0):
        assert batch.inputs.shape[1:] == (16, 16, 3)


def test_images_of_another_size_are_brought_to_that_of_the_network():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    real, fake = SizedFakes(lambda image, *rest: (image, 255 - image), 16)(
        image, None, None
    )
    expected = image.reshape(16, 2, 16, 2, 3).mean((1, 3))  # area means
    np.testing.assert_allclose(real, expected, atol=0.51)
    np.testing.assert_allclose(fake, 255 - expected, atol=0.51)


def test_what_goes_wrong_ahead_is_told(views):
    def broken(image, draw, landmarks):
        raise ArithmeticError("no such change")

    with pytest.raises(ArithmeticError, match="no such change"):
        list(make(views, augment=broken).batches(0))


def test_features_are_drawn_with_their_labels():
    features = [np.full((2, 5, 3), n, np.float16) for n in range(8)]
    samples = FeatureSamples(
        features, IS_FAKE, GROUPS, np.arange(8) + 1.0, batch_size=10
    )
    counts = np.zeros(8)
    for epoch in range(10):
        for batch in samples.batches(epoch):
            number = batch.inputs[:, 0].long()
            assert torch.equal(batch.label, torch.tensor(IS_FAKE)[number].float())
            assert torch.equal(batch.weight, number + 1.0)
            counts += np.bincount(number, minlength=8)
    assert abs(counts[6:].sum() / counts.sum() - 0.5) < 0.1


def test_held_back_groups_are_in_neither_both_nor_one_class():
    draw = np.random.default_rng(0)
    for seed in range(20):
        groups = draw.integers(0, 30, 120)
        is_fake = draw.integers(0, 2, 120)
        learn, held = held_out_groups(is_fake, groups, 0.2, seed)
        assert not set(groups[learn]) & set(groups[held])
        assert sorted([*learn, *held]) == list(range(120))
        assert set(is_fake[held]) == set(is_fake[learn]) == {0, 1}
        assert 5 <= len(set(groups[held])) <= 8


def test_no_class_is_held_back_whole():
    groups, is_fake = np.arange(60) // 2, (np.arange(60) < 8).astype(int)
    for seed in range(50):  # 4 groups of fakes, 26 of reals
        learn, held = held_out_groups(is_fake, groups, 0.6, seed)
        assert set(is_fake[learn]) == set(is_fake[held]) == {0, 1}


def test_few_groups_are_all_learned_from():
    is_fake, groups = np.arange(12) % 2, np.arange(12) // 4
    for share in (0, "auto"):
        learn, held = held_out_groups(is_fake, groups, share, 0)
        assert (len(learn), len(held)) == (12, 0)
    with pytest.warns(UserWarning, match="needs at least 4 groups of each class"):
        learn, held = held_out_groups(is_fake, groups, 0.2, 0)
    assert len(held) == 0


def test_validation_of_both_classes_by_hand(views):
    def score(network, images):
        return images[:, 0, 0, 0] / 100

    found = Validation(views, IS_FAKE, score)(None)
    shades = np.clip(np.arange(8) / 10, 1e-15, 1)
    reals, fakes = -np.log(1 - shades[:6]).mean(), -np.log(shades[6:]).mean()
    assert found["validation_loss"] == pytest.approx((reals + fakes) / 2)
    assert found["validation_auc"] == 1.0


def test_validation_of_reals_has_fakes_of_its_own_and_says_so(views):
    def score(network, images):
        return np.where(images[:, 0, 0, 0] >= 90, 0.9, 0.2)

    found = Validation(
        views,
        np.zeros(8, int),
        score,
        fake_of,
        lambda row: np.zeros((4, 68, 2)),
    )(None)
    assert set(found) == {"validation_loss", "validation_pseudo_auc"}
    assert found["validation_pseudo_auc"] == 1.0
