"""The detector of sequences: masks, faces, and where its features come from."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from base_models import FrameDetector, LSTMDetector, TrainingRecipe, load_checkpoint
from base_models.backbones import build_network
from base_models.checkpoints import save_checkpoint
from base_models.detectors.prefit import make_card
from base_models.faces import Face
from base_models.networks.sequence import SequenceNetwork, padded, sequence_scores
from base_models.training.batches import SequenceSamples
from base_models.views import View

SMALL = {"image_size": 32, "n_frames": 3, "n_threads": 1}
LSTM = LSTMDetector(
    "test_resnet", "frame", weights=None, epochs=8, learning_rate=0.01, random_state=0,
    **SMALL,
)  # fmt: skip
FRAME = FrameDetector(
    "test_resnet", "frame", weights=None, epochs=1, augment=False, random_state=0,
    **SMALL,
)  # fmt: skip


class TwoCorners:
    """Finds a face in the left and one in the right half of every frame."""

    def find(self, frame):
        return [Face((2, 2, 21, 21), 1.0), Face((42, 2, 61, 21), 0.9)]


def halves(left, right, n_frames=4):
    """A clip whose halves have each a brightness and a pattern of their own."""
    draw = np.random.default_rng([left, right])
    clip = np.concatenate(
        [np.full((24, 32, 3), left, np.uint8), np.full((24, 32, 3), right, np.uint8)],
        axis=1,
    )
    clip = clip + draw.integers(0, 8, clip.shape, np.uint8)
    return np.repeat(clip[None], n_frames, axis=0)


@pytest.fixture(scope="module")
def flicker():
    """16 clips of one mean brightness; in the fakes (odd) it changes half way."""
    draw = np.random.default_rng(0)
    y = np.arange(16) % 2
    videos = []
    for label in y:
        lift = 40 * label * np.array([-1, 1, 1, -1])[[0, 0, 1, 1]]
        frames = 110 + lift[:, None, None, None] + draw.normal(0, 3, (4, 32, 32, 3))
        videos.append(frames.astype(np.uint8))
    return videos, y, np.arange(16) // 2


def test_each_face_is_a_sequence_of_its_own():
    """What it learns from: as many sequences as faces, each with its own frames."""
    detector = clone(LSTM).set_params(view="face", faces="all", finder=TwoCorners())
    detector.extractor_ = _Echo()
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    view = View(images, np.array([0, 4, 9, 0, 4]), np.array([0, 0, 0, 1, 1]))
    first, second = detector._features(view, None)
    assert first.ravel().tolist() == [0, 1, 2]
    assert second.ravel().tolist() == [3, 4]


class _Echo:
    n_threads = 1

    def set_params(self, **params):
        return self

    def _features(self, view, store):
        return view.images.reshape(len(view.images), -1).astype(np.float32)


def test_a_video_of_two_faces_has_the_mean_of_their_scores():
    params = {"view": "face", "finder": TwoCorners()}
    videos = [halves(40, 90 + 5 * i) for i in range(4)]
    videos += [halves(200, 150 + 5 * i) for i in range(4)]
    detector = clone(LSTM).set_params(faces="all", **params)
    detector.fit(videos, [0] * 4 + [1] * 4)
    (timeline,) = detector.score_frames(videos[:1])
    assert timeline.groupby("face").size().tolist() == [3, 3]
    ends = timeline.groupby("face")["score"].last()
    assert ends[0] != ends[1]
    assert detector.fake_score(videos[:1])[0] == pytest.approx(ends.mean())


def test_of_a_video_each_face_is_drawn_as_often():
    features = [
        [np.full((2, 1), 0.0), np.full((3, 1), 1.0), np.full((4, 1), 2.0)],
        [np.full((2, 1), 9.0)],
    ]
    samples = SequenceSamples(
        features, np.array([0, 1]), np.arange(2), np.ones(2), 2, True, seed=0
    )
    drawn = [
        float(row[0, 0])
        for epoch in range(1500)
        for batch in samples.batches(epoch)
        for row in batch.inputs
    ]
    counts = np.array([drawn.count(face) for face in (0, 1, 2, 9)]) / len(drawn)
    np.testing.assert_allclose(counts, [1 / 6, 1 / 6, 1 / 6, 1 / 2], atol=0.03)


def test_what_is_padded_changes_neither_score_nor_gradient():
    draw = np.random.default_rng(0)
    short, long = draw.random((3, 4), np.float32), draw.random((9, 4), np.float32)
    for rnn in ("lstm", "gru"):
        torch.manual_seed(0)
        network = SequenceNetwork(4, 8, rnn, 0.0)
        torch.nn.init.normal_(network.head.weight)
        found = []
        for batch in (padded([short]), padded([short, long])[:1]):
            batch = batch.clone()
            batch[0, 3:, :-1] = 1e6  # whatever lies there
            network.zero_grad()
            logits = network(batch)
            logits[0, 1].backward()
            gradients = [p.grad.clone() for p in network.parameters()]
            found.append((logits.detach(), gradients))
        (alone, alone_grads), (together, together_grads) = found
        torch.testing.assert_close(together, alone)
        for one, other in zip(together_grads, alone_grads, strict=True):
            torch.testing.assert_close(one, other)


def test_a_sequence_tells_what_single_frames_cannot():
    """Real and fake show the same values, in another order."""
    draw = np.random.default_rng(1)
    rows = [np.repeat(order, 3)[:, None] for order in ([0.0, 1.0], [1.0, 0.0])]
    features = [
        [(rows[i % 2] + draw.normal(0, 0.1, (6, 1))).astype(np.float32)]
        for i in range(40)
    ]
    y = np.arange(40) % 2
    detector = clone(LSTM).set_params(epochs=20, n_threads=1)
    detector.recipe = TrainingRecipe(validation=0)
    detector._learn(features[:24], y[:24], np.ones(24), np.arange(24), seed=0)
    scores = np.array([detector._score_features(one)[-1] for (one,) in features[24:]])
    assert scores[y[24:] == 1].min() > scores[y[24:] == 0].max()


def test_the_best_epoch_is_chosen_on_groups_held_back(flicker):
    videos, y, groups = flicker
    detector = clone(LSTM).set_params(recipe=TrainingRecipe(validation=0.25))
    detector.fit(videos, y, groups=groups)
    losses = [entry["validation_loss"] for entry in detector.history_]
    assert len(losses) == detector.epochs
    assert all("validation_auc" in entry for entry in detector.history_)
    plain = clone(detector).set_params(recipe=TrainingRecipe(validation=0))
    assert "validation_loss" not in plain.fit(videos, y).history_[0]


def test_it_stops_when_no_epoch_is_better_any_more(flicker):
    videos, y, _ = flicker
    recipe = TrainingRecipe(validation=0.25, patience=1)
    shuffled = np.random.default_rng(3).permutation(y)  # nothing to learn
    detector = clone(LSTM).set_params(recipe=recipe, epochs=60, learning_rate=0.05)
    detector.fit(videos, shuffled, groups=np.arange(16))
    assert len(detector.history_) < 60


def test_a_frame_detector_is_fitted_first_and_gives_its_body(flicker, tmp_path):
    videos, y, groups = flicker
    detector = clone(LSTM).set_params(features=FRAME, store=tmp_path)
    detector.fit(videos, y, groups=groups)
    alone = clone(FRAME).set_params(store=tmp_path).fit(videos, y, groups=groups)
    theirs = alone.module_.state_dict()
    for name, value in detector.extractor_.module_.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    assert not hasattr(FRAME, "module_")  # it was cloned
    assert str(detector) == "test_resnet_lstm_frame"
    assert detector.view_recipes()[0].key == alone.view_recipes()[0].key


@pytest.mark.slow
def test_features_of_a_trained_body_are_kept_apart_from_frozen_ones(flicker, tmp_path):
    videos, y, _ = flicker
    weights = tmp_path / "weights.pth"
    torch.save(build_network("test_resnet", weights=None).state_dict(), weights)
    frozen = clone(LSTM).set_params(weights=weights, store=tmp_path).fit(videos, y)
    for train in ("full", "last_stage"):
        frame = clone(FRAME).set_params(weights=weights, train=train)
        tuned = clone(LSTM).set_params(features=frame, store=tmp_path).fit(videos, y)
        assert tuned.extractor_.weights_key_ != frozen.extractor_.weights_key_
    head = clone(FRAME).set_params(weights=weights, train="head")
    same = clone(LSTM).set_params(features=head, store=tmp_path).fit(videos, y)
    assert same.extractor_.weights_key_ == frozen.extractor_.weights_key_


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("portable", [False, True])
def test_a_trained_body_comes_back_from_the_state(flicker, tmp_path, frozen, portable):
    videos, y, _ = flicker
    features = clone(FRAME)
    if frozen:
        features = FrozenEstimator(features.fit(videos, y))
    detector = clone(LSTM).set_params(features=features, store=tmp_path)
    score = detector.fit(videos, y).fake_score(videos)
    meta, arrays = detector.get_state(portable)
    assert any(n.startswith("extractor/") for n in arrays) != frozen
    again = clone(detector).set_state(meta, arrays)
    again.set_params(store=tmp_path / "another")  # nothing is found there
    np.testing.assert_array_equal(again.fake_score(videos), score)


@pytest.mark.slow
def test_what_is_frozen_stays_as_it_is_and_counts_for_the_identity(flicker):
    videos, y, _ = flicker
    one = clone(FRAME).fit(videos, y)
    other = clone(FRAME).fit(videos, 1 - y)
    before = {k: v.clone() for k, v in one.module_.state_dict().items()}
    first, second = (
        clone(LSTM).set_params(features=FrozenEstimator(f)) for f in (one, other)
    )
    assert first.identity() != second.identity()
    assert first.identity() == clone(first).identity()
    first.fit(videos, y)
    assert "weights_key_" not in vars(one)
    for name, value in one.module_.state_dict().items():
        assert torch.equal(value, before[name])


def test_weights_that_are_kept_need_no_file_to_come_back(flicker, tmp_path):
    videos, y, _ = flicker
    weights = tmp_path / "weights.pth"
    torch.save(build_network("test_resnet", weights=None).state_dict(), weights)
    detector = clone(LSTM).set_params(weights=weights).fit(videos, y)
    score = detector.fake_score(videos)
    state = detector.get_state(portable=True)
    weights.unlink()  # as on another machine
    again = clone(detector).set_state(*state)
    np.testing.assert_array_equal(again.fake_score(videos), score)


def test_it_says_what_its_network_has_seen(tmp_path, flicker):
    with pytest.raises(AttributeError, match="card_"):
        LSTM.card_  # noqa: B018
    card = make_card("test_resnet", scope="frame", image_size=32, trained_on=["theirs"])
    network = build_network("test_resnet", weights=None)
    save_checkpoint(tmp_path, network.state_dict(), card)
    detector = clone(LSTM).set_params(weights=tmp_path)
    assert detector.card_["trained_on"] == ["theirs"]
    fitted = clone(FRAME).fit(*flicker[:2])
    detector = clone(LSTM).set_params(features=FrozenEstimator(fitted))
    assert detector.card_ == {"trained_on": None}  # unknown


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        ("resnet18", TypeError, "features must be a FrameDetector.*; got str"),
        (FrozenEstimator(FRAME), NotFittedError, "not fitted"),
    ],
)
def test_features_that_cannot_be_had_are_refused(flicker, features, error, message):
    with pytest.raises(error, match=message):
        clone(LSTM).set_params(features=features).fit(*flicker[:2])


def test_a_checkpoint_is_given_as_weights(flicker, tmp_path):
    card = make_card("test_resnet", scope="frame", image_size=32)
    network = build_network("test_resnet", weights=None)
    save_checkpoint(tmp_path, network.state_dict(), card)
    with pytest.raises(TypeError, match="give its file as weights"):
        clone(LSTM).set_params(features=load_checkpoint(tmp_path)).fit(*flicker[:2])
    detector = clone(LSTM).set_params(weights=tmp_path).fit(*flicker[:2])
    body = detector.extractor_.module_.backbone.state_dict()
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(body[name], value)


def test_scores_are_the_same_alone_and_step_by_step():
    torch.manual_seed(0)
    network = SequenceNetwork(3, 8, "gru", 0.5).eval()
    torch.nn.init.normal_(network.head.weight)
    rows = np.random.default_rng(0).random((5, 3), np.float32)
    with torch.no_grad():
        logits = network(padded([rows]))[0].double().numpy()
    assert sequence_scores(network, rows)[-1] == pytest.approx(
        1 / (1 + np.exp(logits[0] - logits[1])), abs=1e-6
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_trains_on_a_gpu_and_scores_there_alike(flicker):
    videos, y, groups = flicker
    detector = clone(LSTM).set_params(device="cuda").fit(videos, y, groups=groups)
    score = detector.fake_score(videos)
    on_cpu = clone(detector).set_state(*detector.get_state()).set_params(device="cpu")
    np.testing.assert_allclose(on_cpu.fake_score(videos), score, atol=1e-3)
