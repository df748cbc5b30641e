"""What becomes of scores when videos are changed."""

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from base_models import CallableDetector, FrameDetector, Store, write_video
from ensemble import DeepfakeEnsemble, stress_test
from ensemble.cli.app import main
from ensemble.inspection import stress
from ensemble.inspection.stress_scores import model_digest
from ensemble.stress import CHANGES, changed


def brightness(videos):
    return [video.mean() / 255 for video in videos]


def length(videos):
    return [min(1.0, len(video) / 40) for video in videos]


def clip(shade, n_frames=16, seed=0):
    rng = np.random.default_rng([seed, shade])
    noise = rng.normal(0, 12, (n_frames, 40, 48, 3))
    return np.clip(shade + noise, 0, 255).astype(np.uint8)


VIDEOS = [clip(shade) for shade in (60, 70, 80, 90, 120, 130, 140, 150)]
LABELS = [0] * 4 + [1] * 4


@pytest.fixture(scope="module")
def model():
    named = [("bright", CallableDetector(brightness)),
             ("long", CallableDetector(length))]  # fmt: skip
    model = DeepfakeEnsemble(named, strategy="voting", combiner="soft", resampling=2)
    return model.fit(VIDEOS, LABELS, groups=np.arange(8) % 4)


@pytest.fixture(scope="module")
def found(model):
    return stress_test(model, VIDEOS, LABELS, groups=np.arange(8) % 4, n_boot=10)


def of(found, change, scorer):
    table = found.table
    return table[(table["change"] == change) & (table["scorer"] == scorer)]


@pytest.mark.slow
def test_a_detector_of_brightness_drifts_with_light_and_with_nothing_else(found):
    for change in set(CHANGES) - {"darker", "brighter"}:
        assert of(found, change, "bright")["size"].max() < 0.02
    for change, sign in (("darker", -1), ("brighter", 1)):
        rows = of(found, change, "bright")
        assert (np.diff(rows["size"]) > 0).all()  # the stronger, the further
        mean = np.mean([video.mean() / 255 for video in VIDEOS])
        if change == "darker":  # nothing is clipped
            expected = [(factor - 1) * mean for factor in CHANGES[change]]
            np.testing.assert_allclose(rows["drift"], expected, atol=0.005)
        assert (sign * rows["drift"] > 0).all()


@pytest.mark.slow
def test_a_detector_of_length_drifts_with_the_frame_rate_alone(found):
    for change in set(CHANGES) - {"fps"}:
        assert of(found, change, "long")["size"].max() == 0
    np.testing.assert_allclose(
        of(found, "fps", "long")["drift"], [8 / 40 - 0.4, 4 / 40 - 0.4, 2 / 40 - 0.4]
    )


def test_the_ensemble_is_judged_beside_its_members(model):
    changes = {"darker": [0.8, 0.5], "brighter": [1.2, 2.0]}
    found = stress_test(model, VIDEOS, LABELS, np.arange(8) % 4, changes, n_boot=10)
    as_it_is = found.scores[found.scores["change"] == "as it is"]
    np.testing.assert_allclose(as_it_is["ensemble"], model.fake_score(VIDEOS))
    rows = of(found, "darker", "ensemble")
    halved = of(found, "darker", "bright")["drift"].to_numpy() / 2
    np.testing.assert_allclose(rows["drift"], halved, atol=1e-9)
    assert of(found, "brighter", "bright")["flipped"].max() > 0.3
    assert (rows["auc_before"] == 1).all()
    assert rows["auc"].between(0, 1).all()


@pytest.mark.slow
def test_labels_and_groups_with_ids_follow_the_videos(model, found):
    ids = [f"v{number}" for number in range(8)]
    videos, labels = pd.Series(VIDEOS, ids), pd.Series(LABELS, ids)
    groups = pd.Series(np.arange(8) % 4, ids)
    settings = {"changes": ["darker"], "n_boot": 10}
    again = stress_test(model, videos, labels[::-1], groups[::-1], **settings)
    expected = of(found, "darker", "bright").reset_index(drop=True)
    pd.testing.assert_frame_equal(
        of(again, "darker", "bright").reset_index(drop=True), expected
    )
    with pytest.raises(ValueError, match="labels must be of the same videos .* 'v3'"):
        stress_test(model, videos, labels.rename({"v3": "w"}), **settings)


def test_without_labels_there_is_drift_and_no_auc(model):
    found = stress_test(model, VIDEOS[:2], changes=["jpeg"])
    assert "auc" not in found.table
    assert found.table["strength"].unique().tolist() == list(CHANGES["jpeg"])


def test_changes_are_what_they_are_called():
    frames = np.stack([clip(120)[0]] * 8)
    draw = np.random.default_rng(0)

    def deviation(change, strength):
        return np.std(changed(frames, change, strength, draw).astype(float))

    sharp = np.std(frames.astype(float))
    # sigma is in pixels of frames 480 high, and these are 40 high
    assert deviation("blur", 24.0) < deviation("blur", 12.0) < sharp
    assert deviation("downscale", 0.25) < deviation("downscale", 0.75) < sharp
    assert deviation("noise", 20.0) > deviation("noise", 5.0) > sharp
    for change in ("jpeg", "h264"):
        weak, strong = CHANGES[change][0], CHANGES[change][-1]
        off = [
            np.abs(changed(frames, change, s, draw).astype(int) - frames).mean()
            for s in (weak, strong)
        ]
        assert 0 < off[0] < off[1]
    assert len(changed(frames, "fps", 0.25, draw)) == 2
    for change, strengths in CHANGES.items():
        out = changed(frames, change, strengths[0], draw)
        assert out.dtype == np.uint8
        assert out.shape[1:] == frames.shape[1:]


def test_the_same_seed_gives_the_same_noise(model):
    once, again, other = (
        stress_test(model, VIDEOS[:1], changes={"noise": [20.0]}, random_state=seed)
        for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(once.scores, again.scores)
    assert once.scores["bright"].iloc[1] != other.scores["bright"].iloc[1]


def test_a_run_that_was_stopped_goes_on(model, tmp_path):
    path = tmp_path / "deep" / "scores.csv"
    whole = stress_test(model, VIDEOS[:3], changes={"darker": [0.5]})
    stress_test(model, VIDEOS[:2], changes={"darker": [0.5]}, scores_file=path)
    first = path.read_text()
    model_calls = stress_test(
        model, VIDEOS[:3], changes={"darker": [0.5]}, scores_file=path
    )
    assert path.read_text().startswith(first)
    assert len(path.read_text().splitlines()) == 1 + 3 * 2
    pd.testing.assert_frame_equal(model_calls.table, whole.table)


@pytest.fixture(scope="module")
def three():
    """Three videos stressed in two ways, the text of their file and what it gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.csv"
        named = [("bright", CallableDetector(brightness))]
        model = DeepfakeEnsemble(named, resampling=2, combiner="soft")
        model.fit(VIDEOS, LABELS, groups=np.arange(8) % 4)
        changes = {"darker": [0.5], "noise": [20.0]}
        whole = stress_test(model, VIDEOS[:3], changes=changes, scores_file=path)
        return model, changes, whole, path.read_bytes()


def test_videos_that_were_trained_on_are_warned_of(model):
    unknown = clip(100, seed=3)
    with pytest.warns(UserWarning, match="learned from 2 of the 3 videos"):
        stress_test(model, [VIDEOS[0], unknown, VIDEOS[5]], changes={"darker": [0.5]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stress_test(model, [unknown], changes={"darker": [0.5]})


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("part", [0.0, 0.03, 0.2, 0.31, 0.45, 0.5, 0.62, 0.77, 0.999])
def test_a_file_cut_anywhere_gives_the_same_figures(three, tmp_path, part):
    model, changes, whole, written = three
    path = tmp_path / "scores.csv"
    for damaged in (
        written[: int(part * len(written))],
        written[: int(part * len(written))]
        + b"?"
        + written[int(part * len(written)) :],
    )[: 1 if part < 0.2 else 2]:
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage, which is tested below
            again = stress_test(model, VIDEOS[:3], changes=changes, scores_file=path)
        pd.testing.assert_frame_equal(again.table, whole.table)
        pd.testing.assert_frame_equal(again.scores, whole.scores)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "the model learned from")
            stress_test(model, VIDEOS[:3], changes=changes, scores_file=path)
        assert sorted(path.read_bytes().splitlines()) == sorted(written.splitlines())


def test_rows_of_a_file_are_named_as_its_videos_are_now(model, tmp_path):
    path, changes = tmp_path / "scores.csv", {"darker": [0.5]}
    for name, video in (("a", VIDEOS[0]), ("b", VIDEOS[5]), ("c", VIDEOS[3])):
        write_video(tmp_path / f"{name}.mp4", video)
    a, b, c, new = (str(tmp_path / f"{name}.mp4") for name in ("a", "b", "c", "new"))
    first = stress_test(model, [a, b, c], changes=changes, scores_file=path)
    Path(a).rename(new)
    Path(b).rename(a)
    Path(new).rename(b)
    write_video(c, VIDEOS[2])
    again = stress_test(model, [a, b, c], changes=changes, scores_file=path)
    was, now = (found.scores.set_index(["change", "video"])["ensemble"]
                for found in (first, again))  # fmt: skip
    for change in ("as it is", "darker"):
        assert (now[change, a], now[change, b]) == (was[change, b], was[change, a])
        assert now[change, c] != was[change, c]
    rows = pd.read_csv(path).set_index(["change", "video"])["ensemble"]
    assert rows.drop(f"{c} (another content)", level="video").to_dict() == now.to_dict()
    written = path.read_bytes()
    stress_test(model, [a, b, c], changes=changes, scores_file=path)
    assert path.read_bytes() == written


def test_only_what_is_damaged_is_computed_again(three, tmp_path, monkeypatch):
    model, changes, _, written = three
    path = tmp_path / "scores.csv"
    path.write_bytes(written[:-20])
    asked = []
    original = stress._stressed

    def counting(model, video, content, steps, *settings):
        asked.append(steps)
        return original(model, video, content, steps, *settings)

    monkeypatch.setattr(stress, "_stressed", counting)
    with pytest.warns(UserWarning, match="1 of its rows are computed again"):
        stress_test(model, VIDEOS[:3], changes=changes, scores_file=path)
    assert asked == [[("noise", 20.0)]]


@pytest.mark.slow
def test_rows_are_used_for_the_same_question_alone(three, tmp_path):
    model, changes, _, written = three
    path = tmp_path / "scores.csv"
    path.write_bytes(written)
    other = DeepfakeEnsemble(
        [("bright", CallableDetector(length))], resampling=2, combiner="soft"
    ).fit(VIDEOS, LABELS, groups=np.arange(8) % 4)
    for asked, settings in (
        (model, {"changes": {"darker": [0.5, 0.25], "blur": [2.0]}}),  # new changes
        (model, {"changes": changes, "seconds": 0.2}),
        (model, {"changes": changes, "random_state": 1}),
        (other, {"changes": changes}),  # of the same names
    ):
        path.write_bytes(written)
        expected = stress_test(asked, VIDEOS[:3], **settings)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = stress_test(asked, VIDEOS[:3], **settings, scores_file=path)
        pd.testing.assert_frame_equal(found.table, expected.table)
        assert found.table.notna().drop(columns="flipped").all(axis=None)
        unused = [str(w.message) for w in said if "are not used" in str(w.message)]
        assert len(unused) == (settings["changes"] is changes)
        assert path.read_bytes().startswith(written)


def test_a_video_of_another_content_is_another_video(three, tmp_path):
    model, changes, *_ = three
    scores = tmp_path / "scores.csv"
    found = []
    for shade in (60, 90):
        write_video(tmp_path / "clip.mp4", clip(shade), fps=10)
        found.append(
            stress_test(
                model, [tmp_path / "clip.mp4"], changes=changes, scores_file=scores
            ).scores["bright"][0]
        )
    assert found[1] - found[0] > 0.05


def test_noise_does_not_depend_on_a_videos_place(three):
    model, changes, whole, _ = three
    for order in ([2, 0, 1], [1]):
        found = stress_test(model, [VIDEOS[row] for row in order], changes=changes)
        again = whole.scores.set_index(["video", "change", "strength"])
        pd.testing.assert_frame_equal(
            found.scores.set_index(["video", "change", "strength"]),
            again.loc[found.scores["video"].unique().tolist()],
        )


@pytest.mark.slow
def test_a_model_is_known_by_what_it_learned(three, toy_videos):
    videos, y, groups = toy_videos
    head = FrameDetector("test_resnet", "frame", "head", None, 32, n_frames=2)
    digests = {
        model_digest(three[0]),
        *(
            model_digest(
                DeepfakeEnsemble(
                    [("bright", head)], resampling=2, random_state=seed, combiner="soft"
                ).fit(videos[:12], y[:12], groups=groups[:12])
            )
            for seed in (0, 0, 1)
        ),
    }
    assert len(digests) == 3


def test_a_model_that_cannot_be_known_again_needs_no_file(tmp_path):
    nameless = CallableDetector(lambda videos: brightness(videos))
    model = DeepfakeEnsemble([("it", nameless)], resampling=2, combiner="soft")
    model.fit(VIDEOS, LABELS, groups=np.arange(8) % 4)
    with pytest.raises(ValueError, match="scores of it cannot be found again"):
        stress_test(model, VIDEOS, scores_file=tmp_path / "scores.csv")
    assert len(stress_test(model, VIDEOS[:1], changes={"darker": [0.5]}).table)


def test_frames_are_read_from_a_file_and_not_held(three, monkeypatch):
    model, changes, *_ = three
    seen = []
    monkeypatch.setattr(
        DeepfakeEnsemble,
        "detector_scores",
        lambda self, videos: seen.append(videos[0]) or original(self, videos),
    )
    stress_test(model, VIDEOS[:1], changes={**changes, "h264": [23], "fps": [0.5]})
    assert len(seen) == 5
    assert all(isinstance(video, np.memmap) for video in seen)
    np.testing.assert_array_equal(seen[0], VIDEOS[0])


original = DeepfakeEnsemble.detector_scores


def test_a_broken_video_costs_itself_alone(model, tmp_path):
    found = stress_test(
        model, [tmp_path / "missing.mp4", VIDEOS[0]], changes={"darker": [0.5]}
    )
    assert list(found.reasons) == [str(tmp_path / "missing.mp4")]
    assert found.table["videos"].tolist() == [1, 1, 1]


@pytest.mark.slow
def test_nothing_is_kept_in_the_store(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    detector = FrameDetector(
        "test_resnet", "frame", "head", None, 32, n_frames=2, n_threads=1
    )
    model = DeepfakeEnsemble([("one", detector)], resampling=2, store=tmp_path)
    model.fit(videos, y, groups)
    kept = {kind: Store(tmp_path).keys(kind) for kind in ("view", "features")}
    found = stress_test(model, videos[:1], changes={"blur": [2.0]})
    assert {kind: Store(tmp_path).keys(kind) for kind in kept} == kept
    assert found.table["videos"].tolist() == [1, 1]
    assert model.store == tmp_path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"changes": ["rain"]}, "changes must be among h264, jpeg.*got .'rain'"),
        ({"labels": [0]}, "one entry per video; got 1 for 8"),
    ],
)
def test_what_makes_no_sense_is_refused(model, given, message):
    with pytest.raises(ValueError, match=message):
        stress_test(model, VIDEOS, **given)


def test_a_scores_file_of_another_model_is_refused(model, tmp_path):
    (tmp_path / "scores.csv").write_text("video,change,strength,other,ensemble\n")
    with pytest.raises(ValueError, match=r"has other columns .*give another file"):
        stress_test(model, VIDEOS, scores_file=tmp_path / "scores.csv")


@pytest.mark.slow
def test_the_command_line_writes_table_plot_and_scores(toy_videos, tmp_path, capsys):
    videos, y, groups = toy_videos
    detector = FrameDetector(
        "test_resnet", "frame", "head", None, 32, n_frames=2, n_threads=1
    )
    model = DeepfakeEnsemble([("one", detector)], resampling=2)
    model.fit(videos, y, groups).save(tmp_path / "model.dfe")
    lines = ["path,label,group"]
    for row in range(4):
        write_video(tmp_path / f"{row}.mp4", videos[row], fps=10)
        lines.append(f"{row}.mp4,{y[row]},g{groups[row]}")
    (tmp_path / "set.csv").write_text("\n".join(lines))
    arguments = ["stress", str(tmp_path / "model.dfe"), str(tmp_path / "set.csv"),
                 "-q", "--changes", "blur,fps",
                 "--plot", str(tmp_path / "out/drift.png"),
                 "--json", str(tmp_path / "drift.json"),
                 "--scores", str(tmp_path / "scores.csv")]  # fmt: skip
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "blur" in shown
    assert "AUC" in shown
    assert (tmp_path / "out/drift.png").read_bytes().startswith(b"\x89PNG")
    assert {row["change"] for row in json.loads((tmp_path / "drift.json").read_text())}
    written = (tmp_path / "scores.csv").read_text()
    assert len(pd.read_csv(tmp_path / "scores.csv")) == 4 * (1 + 4 + 3)
    # the model of the same file is the same model: nothing is computed again
    with pytest.raises(SystemExit):
        main(arguments)
    assert capsys.readouterr().out == shown
    assert (tmp_path / "scores.csv").read_text() == written


def test_folders_that_fit_takes_for_labels_are_labels_here(tmp_path, monkeypatch):
    for name in ("REAL/a.mp4", "Manipulated/b.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"nothing")
    asked = []
    monkeypatch.setattr(
        "ensemble.cli.commands.stress.open_ensemble", lambda *a, **k: None
    )
    monkeypatch.setattr("ensemble.stress_test", lambda *a, **k: asked.append(a))
    with pytest.raises(SystemExit), pytest.warns(UserWarning, match="groups"):
        main(["stress", "model.dfe", str(tmp_path)])
    _, videos, labels, groups = asked[0]
    assert [Path(video).name for video in videos] == ["b.mp4", "a.mp4"]
    assert (labels, groups) == ([1, 0], None)
