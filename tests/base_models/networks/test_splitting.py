import pytest
import torch

from base_models.backbones import build_network
from base_models.networks.splitting import split_last_stage


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "stage"),
    [
        ("resnet18", "layer4.0"),
        ("efficientnet_lite0", "blocks.5"),
        ("test_resnet", "layer4.0"),
        pytest.param("xception", "block12", marks=pytest.mark.slow),
        pytest.param("vgg16", "features.30", marks=pytest.mark.slow),
    ],
)
def test_the_parts_make_the_whole(backbone, stage):
    torch.manual_seed(0)
    network = build_network(backbone, weights=None).eval()
    torch.nn.init.normal_(network.head.weight)
    trunk, tail = split_last_stage(network, image_size=64)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(tail(trunk(images)), network(images), atol=1e-5)
    assert trunk.stage == stage
    names = set(tail.state_dict())
    assert names < set(network.state_dict())
    first = next(name for name in network.state_dict())
    assert first.rpartition(".")[0] not in {name.rpartition(".")[0] for name in names}


def test_the_tail_has_weights_of_its_own():
    network = build_network("resnet18", weights=None).eval()
    _, tail = split_last_stage(network, image_size=64)
    before = network.head.bias.detach().clone()
    torch.nn.init.ones_(tail.head.bias)
    assert torch.equal(network.head.bias, before)


def test_a_network_of_another_build_is_refused():
    network = build_network("test_vit", weights=None)
    with pytest.raises(ValueError, match="VisionTransformer cannot be cut"):
        split_last_stage(network, image_size=160)
