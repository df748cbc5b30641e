"""Detectors that look at key frames: in an ensemble, a scan and a file."""

import av
import numpy as np
import pytest

import ensemble
from base_models import FlickerDetector, FrequencyDetector, make_detector
from base_models.video.reading import key_frames, sample_clips
from ensemble import DeepfakeEnsemble, scan_video

N_FRAMES = 40


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Noise with a key frame after each six frames, fakes brighter: paths, labels."""
    folder, draw = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    paths, y = [], np.arange(12) % 2
    for number, label in enumerate(y):
        paths.append(str(folder / f"{number:02}.mp4"))
        with av.open(paths[-1], "w") as file:
            stream = file.add_stream("libx264", rate=25, options={"g": "6"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(N_FRAMES):
                pixels = draw.normal(90 + 60 * label, 20, (48, 64, 3))
                pixels = np.clip(pixels, 0, 255).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    return paths, y


def test_a_scan_looks_at_the_key_frames_that_the_score_is_of(clips, tmp_path):
    paths, y = clips
    members = [
        FrequencyDetector("frame", 32, n_frames=4, sampling="keyframes"),
        FlickerDetector("frame", 48, n_frames=4, sampling="keyframes"),
        ("even", FrequencyDetector("frame", 32, n_frames=4)),
    ]
    model = DeepfakeEnsemble(members, resampling=2, store=tmp_path / "s", verbose=False)
    model.fit(paths, y, groups=np.arange(12) // 2)
    model.save(tmp_path / "model.dfe")
    loaded = ensemble.load(tmp_path / "model.dfe")
    loaded.set_params(store=tmp_path / "other")
    scan = scan_video(loaded, paths[1])
    assert scan.p_fake == pytest.approx(model.fake_score(paths[1:2])[0], abs=1e-12)
    frames = scan.timeline.groupby("detector")["frame"].apply(sorted)
    keys = key_frames(paths[1]).places.tolist()
    assert set(frames["frequency_frame"]) <= set(keys)
    assert {frame - 1 for frame in frames["flicker_frame"]} <= set(keys)
    assert frames["even"] == [0, 13, 26, 39]
    sample = sample_clips(paths[1], 4, sampling="keyframes")
    assert frames["frequency_frame"] == sample.indices.tolist()


def test_the_command_line_fits_on_key_frames(clips, tmp_path, capsys):
    from ensemble.cli.app import main

    paths, y = clips
    rows = [
        f"{path},{label},{number // 2}"
        for number, (path, label) in enumerate(zip(paths, y, strict=True))
    ]
    (tmp_path / "videos.csv").write_text("\n".join(["path,label,group", *rows]))
    with pytest.raises(SystemExit) as left:
        main(
            ["fit", str(tmp_path / "videos.csv"), "-o", str(tmp_path / "model.dfe"),
             "--backbones", "test_resnet", "--views", "frame", "--n-frames", "3",
             "--train", "head", "--weights", "none", "--image-size", "32",
             "--features", "middle", "--sampling", "keyframes",
             "--store", str(tmp_path / "s"), "--quiet"]
        )  # fmt: skip
    assert not left.value.code, capsys.readouterr().err
    (member,) = ensemble.load(tmp_path / "model.dfe").detectors_.values()
    members = member if isinstance(member, list) else [member]
    assert {m.sampling for m in members} == {"keyframes"}
    assert {m.features for m in members} == {"middle"}


def test_detectors_by_name_take_it():
    assert make_detector("flicker", sampling="keyframes").sampling == "keyframes"
