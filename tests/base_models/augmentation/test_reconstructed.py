"""Faces through an autoencoder and back: its files, the pool, and what is blended."""

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage.data import lfw_subset
from sklearn.base import clone

from base_models import FrequencyDetector, Store
from base_models.augmentation import reconstructions
from base_models.augmentation.autoencoders import (
    TinyAutoencoder,
    autoencoder_files,
    load_autoencoder,
    reconstruct,
)
from base_models.augmentation.pseudo_fakes import PseudoFakes, resolve_pseudo_fakes
from base_models.augmentation.reconstructions import PooledFakes, reconstructed
from base_models.errors import CheckpointError
from base_models.landmarks import image_landmarks
from base_models.store import store_key
from base_models.views.collection import Views
from base_models.views.spec import ViewRecipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained autoencoder in two files, as taesd has them."""
    path = tmp_path_factory.mktemp("autoencoder")
    save_pair(path, TinyAutoencoder(4, pooled=False), seed=0)
    return path


def save_pair(path, network, seed):
    draw = torch.Generator().manual_seed(seed)
    for value in network.parameters():
        if value.ndim > 1:
            torch.nn.init.kaiming_normal_(value.data, generator=draw)
            value.data *= 0.6
        else:
            value.data.fill_(0.01)
    for part in ("encoder", "decoder"):
        state = getattr(network, part).state_dict()
        torch.save(state, path / f"tiny_{part}.pth")
    return network


@pytest.fixture(scope="module")
def face():
    picture = (255 * lfw_subset()[3]).astype(np.uint8)
    large = cv2.resize(picture, (96, 96), interpolation=cv2.INTER_CUBIC)
    image = cv2.cvtColor(large, cv2.COLOR_GRAY2RGB)
    return image, image_landmarks([image], margin=1.0)[0]


@pytest.fixture(scope="module")
def pooled(folder, tmp_path_factory):
    """Fakes of a pool, its views, store and maker; half are reconstructed."""
    draw = np.random.default_rng(0)
    videos = [draw.integers(0, 256, (12, 64, 64, 3), np.uint8) for _ in range(3)]
    store = Store(tmp_path_factory.mktemp("pool"))
    views = Views(videos, ViewRecipe("frame", image_size=64, n_frames=8), store)
    maker = PseudoFakes({"self_blended": 3, "reconstructed": 1}, folder)
    return PooledFakes(maker, views, store), views, store, maker


@pytest.mark.slow
def test_a_folder_that_diffusers_saved_is_read(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    network = diffusers.AutoencoderTiny().eval()
    network.save_pretrained(tmp_path)
    images = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        code = network.encode(2 * images - 1).latents
        expected = (network.decode(code).sample + 1) / 2
    torch.testing.assert_close(load_autoencoder(tmp_path)(images), expected)


@pytest.mark.slow
@pytest.mark.parametrize("pooled_blocks", [False, True])
def test_files_of_two_parts_or_one_give_the_same_network(tmp_path, pooled_blocks):
    network = save_pair(tmp_path, TinyAutoencoder(8, pooled_blocks), seed=1)
    together = tmp_path / "together.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, together)
    images = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    expected = network(images).detach()
    for where in (tmp_path / "tiny_encoder.pth", str(together)):
        torch.testing.assert_close(
            load_autoencoder(where)(images), expected, rtol=1e-4, atol=1e-4
        )


def test_what_is_no_autoencoder_is_refused(tmp_path, folder):
    with pytest.raises(CheckpointError, match="no autoencoder at .*nowhere"):
        autoencoder_files(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="one file named .encoder. .* got none"):
        autoencoder_files(tmp_path)
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="no autoencoder of taesd's layout"):
        load_autoencoder(tmp_path / "other.safetensors")
    (tmp_path / "an_encoder.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match="no decoder beside it: .*an_decoder.pth"):
        autoencoder_files(tmp_path / "an_encoder.pth")
    assert autoencoder_files("someone/tiny") == []


def test_a_name_needs_diffusers(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(ImportError, match=r"needs diffusers: pip install .*generators"):
        load_autoencoder("someone/tiny")


def test_images_keep_their_size_and_place():
    image = np.zeros((45, 61, 3), np.uint8)
    image[10:20, 30:50] = 200
    for seed in range(8):
        draw = np.random.default_rng(seed)
        back = reconstruct(image, lambda x: x, draw).astype(int)
        inner = np.abs(back - image)[13:17, 33:47]
        assert back.shape == image.shape
        assert inner.max() <= 12  # by other sizes, and not moved
        assert np.abs(back - image).mean() < 8


def test_without_an_autoencoder_the_kind_is_not_made(folder):
    assert "reconstructed" not in PseudoFakes().shares()
    assert PseudoFakes(autoencoder=folder).shares()["reconstructed"] == 0.3 / 1.3
    for check in (PseudoFakes.shares, lambda wanted: resolve_pseudo_fakes(wanted, [0])):
        with pytest.raises(ValueError, match="'reconstructed', which needs an autoenc"):
            check(PseudoFakes(["reconstructed"]))
    with pytest.raises(CheckpointError, match="no autoencoder at"):
        resolve_pseudo_fakes(PseudoFakes(autoencoder="nowhere.pth"), [0])


@pytest.mark.slow
def test_a_region_or_all_of_the_image_is_what_the_autoencoder_gives(face, folder):
    image, points = face
    expected = reconstructed(image, folder)
    maker = PseudoFakes(["reconstructed"], folder)
    kinds, shares = maker.shares(), []
    for seed in range(24):
        draw = np.random.default_rng(seed)
        real, fake = maker.make(
            image, points, draw, None, False, kinds, lambda _: expected
        )
        np.testing.assert_array_equal(real, image)
        changed = (fake != image).any(axis=-1)
        shares.append(changed.mean())
        if (fake == expected).all():
            continue
        # between the image and what the autoencoder gives, and as before elsewhere
        corner = np.s_[:4, :4]
        assert not changed[corner].any()
    whole = np.array(shares) > 0.98
    assert 0.15 < whole.mean() < 0.6
    assert np.array(shares)[~whole].max() < 0.9


@pytest.mark.slow
def test_frames_of_a_clip_are_remade_alike(face, folder):
    image, points = face
    clip = np.stack([image] * 3)
    remade = reconstructed(clip, folder)
    np.testing.assert_array_equal(remade, remade[[0, 0, 0]])
    maker = PseudoFakes(["reconstructed"], folder)
    wavering = []
    for seed in range(8):
        draw, spots = np.random.default_rng(seed), np.stack([points] * 3)
        real, fake = maker.make(
            clip, spots, draw, None, False, maker.shares(), lambda _: remade
        )
        np.testing.assert_array_equal(real, clip)
        wavering.append((fake != fake[:1]).any())
        if (fake[0] == remade[0]).all():  # the whole image: nothing wavers
            np.testing.assert_array_equal(fake, remade)
            assert not wavering.pop()
    assert len(wavering) >= 3
    assert all(wavering)


def test_a_pool_gives_what_was_asked_for_as_often(pooled):
    fakes, views, _, _ = pooled
    points = np.random.default_rng(1).uniform(8, 56, (68, 2))
    kinds, make = [], PseudoFakes.make

    def recording(self, image, landmarks, draw, donor, keep_real, shares, remade):
        kinds.append(shares)
        return make(self, image, landmarks, draw, donor, keep_real, shares, remade)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PseudoFakes, "make", recording)
        for view in views:
            for image in view.images:
                fakes(image, points, np.random.default_rng(0))
    odds = np.array([shares["reconstructed"] for shares in kinds])
    assert (odds > 0).sum() == 9  # of 24: 3 of each video
    assert odds.mean() == pytest.approx(0.25)
    assert all(sum(shares.values()) == pytest.approx(1) for shares in kinds)


@pytest.mark.slow
def test_the_pool_is_kept_and_its_loss_changes_nothing(pooled, monkeypatch):
    fakes, views, store, maker = pooled
    points = np.random.default_rng(1).uniform(8, 56, (68, 2))

    def drawn(fakes):
        return [
            fakes(image, points, np.random.default_rng(seed))[1]
            for image in views[0].images
            for seed in range(3)
        ]

    first = drawn(fakes)
    with monkeypatch.context() as patch:
        patch.setattr(reconstructions, "reconstruct", None)  # nothing is remade
        np.testing.assert_array_equal(drawn(PooledFakes(maker, views, store)), first)
    again = PooledFakes(maker, views, store)
    for key, _ in again._places.values():
        store.delete("features", key)
    np.testing.assert_array_equal(drawn(again), first)


def test_keys_know_an_autoencoder_by_its_content(folder, tmp_path):
    one = PseudoFakes(autoencoder=str(folder))
    copies = [tmp_path / "copy", tmp_path / "other"]
    for place, seed in zip(copies, (0, 1), strict=True):
        place.mkdir()
        save_pair(place, TinyAutoencoder(4, pooled=False), seed)
    keys = [store_key(of=clone(one).set_params(autoencoder=c)) for c in copies]
    assert store_key(of=one) == keys[0] != keys[1]


@pytest.mark.slow
def test_a_detector_learns_from_a_pool_and_names_it(folder, tmp_path):
    draw = np.random.default_rng(0)
    videos = [draw.integers(0, 256, (6, 64, 64, 3), np.uint8) for _ in range(4)]
    maker = PseudoFakes({"self_blended": 1, "reconstructed": 1}, str(folder))
    detector = FrequencyDetector(
        "frame", image_size=64, n_frames=3, pseudo_fakes=maker, n_drawn=6,
        random_state=0, store=tmp_path,
    )  # fmt: skip
    scores = detector.fit(videos, [0] * 4).fake_score(videos)
    again = clone(detector).fit(videos[::-1], [0] * 4).fake_score(videos)
    np.testing.assert_array_equal(scores, again)
    assert "reconstructed" in repr(detector)


@pytest.mark.slow
def test_the_real_autoencoder_is_read_and_close(shared):
    path = shared / "models" / "taesd"
    picture = (255 * lfw_subset()[3]).astype(np.uint8)
    image = cv2.cvtColor(cv2.resize(picture, (128, 128)), cv2.COLOR_GRAY2RGB)
    back = reconstructed(image, path)
    assert 25 < cv2.PSNR(back, image) < 50
