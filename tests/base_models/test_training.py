import copy

import numpy as np
import pytest
import torch
from torch import nn

from base_models import SlowFitWarning
from base_models.store import Store
from base_models.training import (
    balanced_weights,
    fixed_threads,
    forward,
    repeatable,
    resolve_threads,
    seconds_per_step,
    steps_per_epoch,
    train_network,
    warn_if_slow,
)
from base_models.views import ViewRecipe, Views


def _network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(784, 2),
    )


def _scale(images):
    return images.permute(0, 3, 1, 2).float() / 255


@pytest.fixture
def training_views(toy_videos, tmp_path):
    videos, y, _ = toy_videos
    recipe = ViewRecipe("frame", image_size=16, n_frames=3)
    return Views(videos, recipe, Store(tmp_path)), y


def _train(views, y, seed=0, weight=None, **kwargs):
    network = _network()
    weight = np.ones(len(y)) if weight is None else weight
    with repeatable(seed, 1):
        history = train_network(
            network, _scale, views, y, sample_weight=weight, seed=seed, **kwargs
        )
    return network, history


def test_a_network_learns_what_tells_the_classes_apart(training_views):
    views, y = training_views
    network, history = _train(views, y, epochs=8, learning_rate=1e-2, augment=False)
    assert history[-1]["loss"] < min(0.2, history[0]["loss"])
    logits = np.array(
        [forward(network, _scale, view.images, "cpu").mean(0) for view in views]
    )
    assert ((logits[:, 1] > logits[:, 0]) == y).mean() > 0.9
    assert not network.training


def test_one_seed_gives_one_network(training_views):
    views, y = training_views
    first, _ = _train(views, y, epochs=2)
    again, _ = _train(views, y, epochs=2)
    other, _ = _train(views, y, epochs=2, seed=1)
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_augmentation_can_be_switched_off(training_views):
    views, y = training_views
    plain, _ = _train(views, y, epochs=1, augment=False)
    varied, _ = _train(views, y, epochs=1, augment=True)
    assert not torch.equal(plain[0].weight, varied[0].weight)


def test_a_loss_that_explodes_stops_the_fit(training_views):
    views, y = training_views
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        _train(views, y, epochs=3, learning_rate=1e38)


def test_classes_weigh_the_same_whatever_their_numbers():
    y = np.array([0, 1, 1, 1])
    weights = balanced_weights(y, np.array([2.0, 1, 1, 2]))
    np.testing.assert_allclose(weights, [2, 0.5, 0.5, 1])
    assert weights[y == 0].sum() == weights[y == 1].sum() == 2


def test_forward_does_not_depend_on_what_is_scored_beside():
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    network = _network().eval()
    together = forward(network, _scale, images, "cpu")
    with torch.inference_mode():
        expected = network(_scale(torch.tensor(images)))
    np.testing.assert_allclose(together, expected.numpy(), atol=1e-6)


def test_threads_and_seed_are_put_back():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    before = torch.get_num_threads()
    with repeatable(0, 1):
        assert torch.get_num_threads() == 1
        torch.rand(5)
    with fixed_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    assert torch.rand(1) == expected


def test_the_estimate_leaves_the_network_as_it_was():
    network = _network()
    before = copy.deepcopy(network.state_dict())
    assert seconds_per_step(network, 16, 8, "cpu") > 0
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in network.parameters())


def test_a_long_fit_says_how_long_and_what_is_quicker():
    with pytest.warns(SlowFitWarning, match=r"xception_face.*2\.5 hours.*train='head'"):
        warn_if_slow(9000, "xception_face")


def test_steps_cover_every_frame():
    assert steps_per_epoch(n_videos=10, frames_per_epoch=4, batch_size=16) == 3
    assert steps_per_epoch(n_videos=8, frames_per_epoch=4, batch_size=16) == 2


def test_bad_numbers_of_threads_are_refused():
    with pytest.raises(ValueError, match="n_threads must be a whole number"):
        resolve_threads(0)
