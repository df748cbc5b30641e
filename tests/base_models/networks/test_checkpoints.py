import os

import pytest
import timm
import torch
from safetensors.torch import save_file

from base_models import CheckpointError
from base_models.backbones import build_network
from base_models.checkpoints import (
    load_backbone_weights,
    read_state_dict,
    save_checkpoint,
)


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(1)
    return timm.create_model("resnet18", pretrained=False, num_classes=1000)


def _fresh():
    return timm.create_model("resnet18", pretrained=False, num_classes=0)


@pytest.mark.slow_after(3)
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "net"])
def test_reads_what_training_scripts_write(resnet, tmp_path, prefix, wrapper):
    state = {prefix + name: value for name, value in resnet.state_dict().items()}
    path = tmp_path / "weights.pth"
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    body = _fresh()
    load_backbone_weights(body, read_state_dict(path), path)
    for name, value in body.state_dict().items():
        assert torch.equal(value, resnet.state_dict()[name])


@pytest.mark.slow
def test_reads_safetensors_with_our_own_head(tmp_path):
    network = build_network("resnet18", weights=None)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    again = build_network("resnet18", weights=tmp_path / "weights.safetensors")
    ours, theirs = again.backbone.state_dict(), network.backbone.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not again.head.weight.any()  # the head starts anew


@pytest.mark.slow
def test_old_files_have_flat_pointwise_weights_and_no_counters():
    body = timm.create_model("legacy_xception", pretrained=False, num_classes=0)
    state = {
        name: value[:, :, 0, 0] if name.endswith("pointwise.weight") else value
        for name, value in body.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    other = timm.create_model("legacy_xception", pretrained=False, num_classes=0)
    load_backbone_weights(other, state, "xception-b5690688.pth")
    name = "block1.rep.0.pointwise.weight"
    assert torch.equal(other.state_dict()[name], body.state_dict()[name])


class _Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm-done",)


def test_code_in_a_file_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for legacy in (False, True):
        torch.save(
            {"weight": _Harmful()},
            "weights.pth",
            _use_new_zipfile_serialization=not legacy,
        )
        with pytest.raises(CheckpointError, match=r"wants (posix|nt)\.mkdir run"):
            read_state_dict("weights.pth")
    assert not os.path.exists("harm-done")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_named(resnet, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(resnet.state_dict(), path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match="weights"):
        read_state_dict(path)


@pytest.mark.slow
def test_other_mistakes_are_named(resnet, tmp_path):
    with pytest.raises(CheckpointError, match="no weights at"):
        read_state_dict(tmp_path / "absent.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(CheckpointError, match="must hold a state dict.*a dict of int"):
        read_state_dict(tmp_path / "empty.pth")
    state = resnet.state_dict()
    body = timm.create_model("vgg16", pretrained=False, num_classes=0)
    with pytest.raises(CheckpointError, match=r"VGG.*weights are missing.*features"):
        load_backbone_weights(body, state, "resnet.pth")
    gray = {**state, "conv1.weight": torch.zeros(64, 1, 7, 7)}
    with pytest.raises(CheckpointError, match=r"conv1.weight has shape \(64, 1"):
        load_backbone_weights(_fresh(), gray, "gray.pth")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask of this kind")
def test_the_umask_says_who_may_read_a_checkpoint(tmp_path):
    before = os.umask(0o027)
    try:
        save_checkpoint(tmp_path, {"head.weight": torch.zeros(2, 2)}, {})
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert modes == {"model.safetensors": "0o640", "card.json": "0o640"}
