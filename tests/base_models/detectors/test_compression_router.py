"""Each video goes to the detector of its quality."""

import numpy as np
import pytest
from sklearn.base import clone

from base_models import (
    CallableDetector,
    CheckpointError,
    CompressionRouter,
    FrameDetector,
    PrefitDetector,
    load_checkpoint,
    score_videos,
    write_video,
)
from base_models.backbones import build_network
from base_models.detectors.prefit import make_card
from ensemble import DeepfakeEnsemble, load, out_of_fold_scores

CRF = {"raw": 0, "c23": 23, "c40": 40}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Bright fakes and dark reals, each at three levels: paths, y, groups, levels."""
    folder = tmp_path_factory.mktemp("clips")
    draw = np.random.default_rng(0)
    rows = []
    for number in range(12):
        shade = 140 if number % 2 else 100
        frames = np.clip(draw.normal(shade, 12, (8, 64, 64, 3)), 0, 255)
        for level, crf in CRF.items():
            path = folder / f"{number}_{level}.mp4"
            write_video(path, frames.astype(np.uint8), crf=crf)
            rows.append((str(path), number % 2, number, level))
    paths, y, groups, levels = map(list, zip(*rows, strict=True))
    return paths, np.array(y), np.array(groups), np.array(levels)


def always(score, name):
    def answer(videos):
        return [score] * len(videos)

    answer.__name__ = name
    return CallableDetector(answer)


def small(seed=0, **params):
    return FrameDetector(
        "resnet18",
        view="frame",
        train="head",
        weights=None,
        image_size=32,
        n_frames=2,
        random_state=seed,
        **params,
    )


def prefit(folder, level, bias):
    network = build_network("resnet18", weights=None)
    network.head.bias.data[1] = bias
    card = make_card(
        "resnet18", "frame", 32, compression=level, source=f"all_{level}.p",
        trained_on=["theirs"],
    )  # fmt: skip
    PrefitDetector(card).with_network(network).save(folder / level)
    return folder / level


@pytest.mark.slow
def test_every_video_is_scored_by_the_detector_of_its_level(clips):
    paths, y, _, levels = clips
    answers = {"raw": 0.1, "c23": 0.2, "c40": 0.3}
    router = CompressionRouter({k: always(v, k) for k, v in answers.items()})
    scores = router.fit(paths, y).fake_score(paths)
    assert scores.tolist() == [answers[level] for level in levels]


def test_one_level_can_be_asked_for_all(clips):
    paths, y, *_ = clips
    router = CompressionRouter(
        {"raw": always(0.1, "a"), "c40": always(0.9, "b")}, compression="c40"
    )
    assert set(router.fit(paths, y).fake_score(paths)) == {0.9}


@pytest.mark.slow
def test_each_detector_learns_from_its_own_level(clips):
    paths, y, groups, levels = clips
    named = [("c23", small()), ("c40", small())]
    router = CompressionRouter(named).fit(paths, y, groups=groups)
    alone = small().fit(
        [p for p, level in zip(paths, levels, strict=True) if level == "c40"],
        y[levels == "c40"],
        groups=groups[levels == "c40"],
    )
    mine = [p for p, level in zip(paths, levels, strict=True) if level == "c40"]
    np.testing.assert_array_equal(router.fake_score(mine), alone.fake_score(mine))
    assert not hasattr(named[0][1], "module_")  # what was given stays unfitted
    frames = router.score_frames(mine[:1])[0]
    np.testing.assert_array_equal(frames, alone.score_frames(mine[:1])[0])


@pytest.mark.slow
def test_a_level_without_one_class_is_refused(clips):
    paths, y, _, levels = clips
    rows = np.flatnonzero((levels == "c23") | ((levels == "c40") & (y == 0)))
    router = CompressionRouter({"c23": small(), "c40": small()})
    with pytest.raises(ValueError, match="no fake video is compressed like c40"):
        router.fit([paths[row] for row in rows], y[rows])


@pytest.mark.parametrize(
    "detectors",
    [{"c23": small()}, {"c23": small(), "c50": small()}, [("c23", small())] * 2],
)
def test_levels_must_be_two_of_the_three(detectors, clips):
    with pytest.raises(ValueError, match="two or more of raw, c23, c40"):
        CompressionRouter(detectors).fit(*clips[:2])


@pytest.mark.slow
def test_reasons_of_missing_scores_come_through(clips, tmp_path):
    paths, y, *_ = clips
    (tmp_path / "broken.mp4").write_bytes(b"x" * 100)
    router = CompressionRouter({"c23": small(), "c40": small()}).fit(paths, y)
    scores, reasons = score_videos([router], [tmp_path / "broken.mp4", paths[0]])
    assert np.isnan(scores[0, 0])
    assert "cannot be opened" in reasons[0, 0]
    assert reasons[1, 0] == ""


def test_parameters_of_a_level_are_reached_by_name():
    router = CompressionRouter({"c23": small(), "c40": small()})
    copy = clone(router).set_params(c40__n_frames=5, compression="c40")
    assert copy.get_params()["c40__n_frames"] == 5
    assert router.get_params()["c40__n_frames"] == 2
    assert "c40__n_frames" not in router.get_params(deep=False)


@pytest.mark.slow
def test_it_is_a_member_of_an_ensemble_and_is_saved_with_it(clips, tmp_path):
    paths, y, groups, _ = clips
    router = CompressionRouter({"c23": small(None), "c40": small(None)})
    model = DeepfakeEnsemble(
        {"routed": router, "one": small(None)}, resampling=2, store=tmp_path / "store"
    ).fit(paths, y, groups=groups)
    model.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe")
    np.testing.assert_array_equal(again.fake_score(paths), model.fake_score(paths))
    np.testing.assert_array_equal(
        again.detector_scores(paths)["routed"], model.detector_scores(paths)["routed"]
    )


@pytest.mark.slow
def test_checkpoints_of_several_compressions_are_one_member(clips, tmp_path):
    paths, y, groups, levels = clips
    files = [prefit(tmp_path, "c23", -2.0), prefit(tmp_path, "c40", 2.0)]
    router = load_checkpoint(files, compression="auto", n_frames=2)
    scores = router.fake_score(paths)  # fitted as it is
    assert (scores[levels == "c40"] > 0.85).all()
    assert (scores[levels != "c40"] < 0.15).all()
    assert clone(router) is router
    assert router.card_["trained_on"] == ["theirs"]
    table = out_of_fold_scores({"routed": router}, paths, y, groups, resampling=2)
    np.testing.assert_array_equal(table["routed"], scores)
    assert table.attrs["provenance"]["prefit"] == ["routed"]
    with pytest.warns(UserWarning, match="theirs"):
        model = DeepfakeEnsemble({"routed": router, "one": small()}, resampling=2).fit(
            paths, y, groups=groups
        )
    model.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe")
    np.testing.assert_array_equal(again.fake_score(paths), model.fake_score(paths))


@pytest.mark.slow
def test_a_checkpoint_of_unknown_compression_is_not_routed_to(tmp_path):
    files = [prefit(tmp_path, "c23", 0.0), prefit(tmp_path, "c40", 0.0)]
    with pytest.raises(CheckpointError, match="as of another file"):
        load_checkpoint([files[0], files[0]], compression="auto")
    with pytest.raises(ValueError, match="give a list"):
        load_checkpoint(files[0], compression="auto")
