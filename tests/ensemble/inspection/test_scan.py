import csv
import errno
import json
from copy import copy

import av
import numpy as np
import pytest
import torch
from torch import nn

from base_models import CallableDetector, Face, TorchDetector, iter_frames, write_video
from base_models.errors import VideoReadError
from base_models.face_tracks import FaceTrack
from base_models.runtime.file_writing import naming
from base_models.scoring.following import box_at
from base_models.scoring.per_face import look_closely
from ensemble import DeepfakeEnsemble, scan_video
from ensemble.cli.app import main
from ensemble.inspection.annotate import COLOURS
from ensemble.inspection.outputs import output_paths, planned_outputs
from ensemble.inspection.scan import ScanResult, scans_table
from ensemble.resampling import GroupBootstrap

SIDE = 24  # of a "face": a square whose red says which one, on a black ground
LEFT, RIGHT = (10, 12), (60, 10)


class SquareFinder:
    """Finds squares by their blue, left to right."""

    def find(self, frame):
        found = []
        for low, high in ((100, 140), (180, 255)):
            mask = (frame[..., 2] > low) & (frame[..., 2] < high)
            if mask.sum() > 100:
                rows, columns = np.nonzero(mask)
                box = (columns.min(), rows.min(), columns.max(), rows.max())
                found.append(Face(tuple(map(int, box)), 1.0))
        return found


class NearFinder(SquareFinder):
    """Looks at whole frames now and then; near a known face its boxes are larger."""

    every = 4

    def find_near(self, frame, faces):
        larger = []
        for face in self.find(frame):
            left, top, right, bottom = face.box
            larger.append(Face((left - 4, top - 4, right + 4, bottom + 4), 1.0))
        return larger


class Redness(nn.Module):
    """P(fake) rises with the red of the image."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(4.0))

    def forward(self, images):  # (B, 3, H, W), -1..1
        return self.scale * images[:, 0].mean(dim=(1, 2))


def _redness(videos):
    return [video[..., 0].mean() / 255 for video in videos]


def _video(first=220, second=None, n_frames=40, enters=10, size=(60, 96)):
    """A bright or dark square that moves right; a second one that comes later."""
    frames = np.zeros((n_frames, *size, 3), np.uint8)
    for index, frame in enumerate(frames):
        x, y = LEFT[0] + index // 4, LEFT[1]
        frame[y : y + SIDE, x : x + SIDE] = (first, 60, 120)
        if second is not None and index >= enters:
            x, y = RIGHT
            frame[y : y + SIDE - 4, x : x + SIDE - 4] = (second, 60, 220)
    return frames


def _member(view="face", pooling="mean", faces="largest", finder=None):
    finder = SquareFinder() if finder is None else finder
    return TorchDetector(
        Redness(), view=view, train="none", image_size=16, n_frames=8,
        pooling=pooling, faces=faces, finder=finder, margin=1.0, n_threads=1,
    )  # fmt: skip


def _fitted(members, strategy="voting", **params):
    videos = [_video(60 + 10 * i) for i in range(4)]
    videos += [_video(160 + 10 * i) for i in range(4)]
    model = DeepfakeEnsemble(members, strategy=strategy, verbose=False, **params)
    return model.fit(videos, [0] * 4 + [1] * 4, groups=np.arange(8) % 4)


@pytest.fixture(scope="module")
def model():
    members = [("face", _member()), ("frame", _member("frame"))]
    return _fitted(members, resampling=2)


@pytest.fixture(scope="module")
def of_faces():
    """An ensemble of one member, which looks at nothing but faces."""
    return _fitted([("face", _member())], resampling=2)


@pytest.fixture(scope="module")
def scanned(model):
    return scan_video(model, _video(first=60, second=230))


def test_the_verdict_is_that_of_judge(model, scanned):
    (judged,) = model.judge([_video(first=60, second=230)]).to_dict("records")
    assert scanned.p_fake == judged["p_fake"]
    assert scanned.verdict == judged["verdict"]
    assert scanned.members["p_fake"].to_dict() == {
        name: judged[name] for name in ("face", "frame")
    }


@pytest.mark.parametrize(("enters", "leaves"), [(18, 33), (1, 51), (24, 25)])
def test_a_face_that_is_there_where_no_detector_looks_is_a_doubt(
    of_faces, enters, leaves
):
    clip = _video(first=60, second=230, n_frames=120, enters=enters)
    clip[leaves:, RIGHT[1] :, RIGHT[0] :] = 0
    scan = scan_video(of_faces, clip)
    is_scored = leaves - enters > 15  # by what looks at frames 0, 17, 34, ...
    is_told = "was looked at by no detector of faces" in scan.doubts
    assert is_told == (not is_scored), scan.doubts
    assert scan_video(of_faces, _video(first=60, n_frames=120)).doubts == ""


def test_a_file_is_read_in_one_pass(model, tmp_path, monkeypatch):
    path, opened, real_open = tmp_path / "clip.mp4", [], av.open
    write_video(path, _video(first=190))
    monkeypatch.setattr(
        av, "open", lambda *a, **k: opened.append(a) or real_open(*a, **k)
    )
    result = scan_video(model, path)
    # Its packets, first frame, sizes of key frames, quantiser, and all frames.
    assert len(opened) == 5
    assert len(result.faces) == 1
    model = copy(model)
    model.store = tmp_path / "other"
    assert result.p_fake == model.judge([path])["p_fake"].iloc[0]


def test_the_only_face_has_the_score_of_the_verdict_by_whatever_finder():
    model = _fitted([("face", _member(finder=NearFinder()))], resampling=2)
    scan = scan_video(model, _video(first=120))
    assert scan.face_scores.loc[1, "face"] == scan.members.loc["face", "p_fake"]
    assert scan.faces["p_fake"].tolist() == [scan.p_fake]


def test_each_face_has_its_own_score(model, scanned):
    faces = scanned.faces
    assert faces["face"].tolist() == [1, 2]
    red = np.array([60, 230]) / 127.5 - 1
    scores = scanned.timeline[scanned.timeline["detector"] == "face"]
    for face, value in zip((1, 2), red, strict=True):
        seen = scores[scores["face"] == face]["score"]
        np.testing.assert_allclose(seen, 1 / (1 + np.exp(-4 * value)), atol=0.02)
    assert faces["main"].tolist() == [True, False]  # the larger one
    assert faces["p_fake"][0] == pytest.approx(scanned.p_fake)
    assert faces["p_fake"][1] > faces["p_fake"][0]
    assert scanned.face_scores["frame"].nunique() == 1  # whole frames: the same of both


def test_a_face_is_there_from_when_it_comes(scanned):
    assert scanned.faces["first"][0] == 0
    assert scanned.faces["first"][1] == pytest.approx(10 / 25, abs=6 / 25)
    assert (scanned.faces["last"] == 39 / 25).all()


def test_boxes_are_drawn_between_looks(scanned):
    face = scanned.look.faces[0]
    for index in range(40):
        left, top, right, bottom = box_at(face, index, reach=6)
        assert abs(left - (LEFT[0] + index / 4)) <= 1.5
        assert top == LEFT[1]
        assert (bottom - top, right - left) == pytest.approx((SIDE - 1, SIDE - 1))


def test_a_face_that_is_away_for_long_has_no_box():
    seen = [Face((0, 0, 9, 9), 1.0)] * 4
    track = FaceTrack(np.array([10, 15, 60, 65]), seen)
    there = [index for index in range(80) if box_at(track, index, 5) is not None]
    assert there == [*range(7, 19), *range(57, 69)] or there[0] in (7, 8)
    assert not set(range(20, 56)) & set(there)


@pytest.mark.parametrize("pooling", ["max", "median"])
def test_the_frames_that_decided_follow_the_pooling(pooling):
    frames = _video(100)
    frames[..., 0] += np.arange(40, dtype=np.uint8)[:, None, None]
    model = _fitted([("frame", _member("frame", pooling))], resampling=2)
    timeline = scan_video(model, frames).timeline
    decided = timeline[timeline["decided"]]["frame"].tolist()
    assert decided == ([39] if pooling == "max" else timeline["frame"][3:5].tolist())


def test_all_faces_count_where_a_detector_pools_over_them():
    model = _fitted([("face", _member(faces="all", pooling="max"))], resampling=2)
    found = scan_video(model, _video(first=60, second=230))
    decided = found.timeline[found.timeline["decided"]]
    assert set(decided["face"]) == {2}
    assert found.p_fake == pytest.approx(decided["score"].max())
    assert found.faces["main"].tolist() == [False, True]


def test_replicas_are_averaged_frame_by_frame():
    bootstrap = GroupBootstrap(3, random_state=0)
    model = _fitted([("face", _member())], strategy="bagging", resampling=bootstrap)
    found = scan_video(model, _video(60, 230))
    (row,) = found.members.to_dict("records")
    main = found.timeline[found.timeline["face"] == 1]
    assert len(main) == 8
    assert main["score"].mean() == pytest.approx(row["p_fake"])


def test_a_detector_without_timeline_still_counts():
    model = _fitted(
        [("red", CallableDetector(_redness)), ("face", _member())], resampling=2
    )
    found = scan_video(model, _video(60, 230))
    assert set(found.timeline["detector"]) == {"face"}
    assert found.face_scores["red"].tolist() == [found.members["p_fake"]["red"]] * 2
    assert (found.faces["reason"] == "").all()


def _corner(videos):
    """Looks at a part of the picture where no face is."""
    return [0.99 if video[:, 0, 0, 2].mean() > 100 else 0.01 for video in videos]


@pytest.mark.parametrize(("shade", "corner"), [(60, 255), (220, 0)])
def test_a_face_has_no_verdict_that_all_who_look_at_it_contradict(shade, corner):
    def marked(shade, corner):
        video = _video(shade)
        video[:, 0, 0, 2] = corner
        return video

    videos = [marked(60 + 10 * n, 0) for n in range(4)]
    videos += [marked(160 + 10 * n, 255) for n in range(4)]
    members = {"corner": CallableDetector(_corner), "face": _member()}
    model = DeepfakeEnsemble(members, combiner="soft", resampling=2, verbose=False)
    model.fit(videos, [0] * 4 + [1] * 4, groups=np.arange(8) % 4)
    contrary = "the whole picture makes this score"
    plain = scan_video(model, marked(60, 0)).faces
    assert not plain["doubts"].str.contains(contrary).any()
    found = scan_video(model, marked(shade, corner), doubts=False)
    (face,) = found.faces.to_dict("records")
    assert face["verdict"] == ("FAKE" if corner else "REAL")
    assert (found.face_scores["face"][1] > 0.5) == (not corner)
    assert contrary in face["doubts"]
    assert (contrary in found.doubts, found.verdict) == (True, face["verdict"])
    doubted = scan_video(model, marked(shade, corner))
    assert (doubted.faces["verdict"][0], doubted.verdict) == ("UNSURE", "UNSURE")


def test_no_face_and_no_file_are_told(model, tmp_path):
    empty = scan_video(model, np.full((12, 60, 96, 3), 60, np.uint8))
    assert empty.status == "partial"
    assert empty.faces.empty
    assert "no face" in empty.members["reason"]["face"]
    absent = scan_video(model, tmp_path / "absent.mp4")
    assert absent.status == "unscorable"
    assert absent.look is None
    with pytest.raises(ValueError, match="absent.mp4"):
        absent.annotate(tmp_path / "out.mp4")
    json.dumps(absent.to_dict(), allow_nan=False)


def test_everything_fits_into_json(scanned):
    found = json.loads(json.dumps(scanned.to_dict(), allow_nan=False))
    assert found["p_fake"] == scanned.p_fake
    assert len(found["timeline"]) == len(scanned.timeline)
    assert found["faces"][0]["main"] is True


def test_a_table_has_a_row_a_face(scanned, model):
    other = scan_video(model, np.full((12, 60, 96, 3), 60, np.uint8))
    table = scans_table([scanned, other])
    assert table["face"].tolist()[:2] == [1, 2]
    assert table["face"].isna().tolist() == [False, False, True]


def test_the_annotated_video_has_every_frame_at_its_time(of_faces, tmp_path):
    frames = _video(60, 230, size=(61, 97))
    times = np.cumsum([0] + [0.04, 0.04, 0.1] * 13)
    write_video(tmp_path / "in.mp4", frames, times=times, crf=5)
    found = scan_video(of_faces, tmp_path / "in.mp4")
    found.annotate(tmp_path / "out.mp4")
    seen = list(iter_frames(tmp_path / "out.mp4", return_times=True))
    np.testing.assert_allclose([at for _, at in seen], times, atol=1e-4)
    last, _ = seen[-1]
    assert last.shape == (62, 98, 3)
    places = [(LEFT[0] + 39 // 4, LEFT[1], "REAL"), (*RIGHT, "FAKE")]
    for x, y, verdict in places:
        edge = last[y + SIDE // 2, x - 1 : x + 2].astype(int)
        assert np.abs(edge - COLOURS[verdict]).sum(axis=1).min() < 90


def test_a_steady_rate_is_kept(model, tmp_path):
    write_video(tmp_path / "in.mp4", _video(60), fps=30)
    scan_video(model, tmp_path / "in.mp4").annotate(tmp_path / "out.mp4")
    at = [seconds for _, seconds in iter_frames(tmp_path / "out.mp4", True)]
    np.testing.assert_allclose(at, np.arange(40) / 30, atol=1e-6)


def test_a_video_is_never_written_over_itself(model, tmp_path):
    path = write_video(tmp_path / "in.mp4", _video(60))
    with pytest.raises(ValueError, match="the video itself"):
        scan_video(model, path).annotate(path)
    with pytest.raises(ValueError, match="one of the inputs"):
        planned_outputs({"annotate": tmp_path}, [str(path)])


def test_no_pictures_are_made_of_another_content(model, tmp_path):
    path = tmp_path / "in.mp4"
    write_video(path, _video(n_frames=12))
    found = scan_video(model, path)
    path.touch()  # the same content
    found.annotate(tmp_path / "same.mp4")
    write_video(path, _video(first=140, n_frames=12))
    for write, name in ((found.annotate, "out.mp4"), (found.to_html, "out.html")):
        with pytest.raises(VideoReadError, match=r"is another than the one that was"):
            write(tmp_path / name)
        assert not (tmp_path / name).exists()
    scan_video(model, path).annotate(tmp_path / "out.mp4")


def test_what_cannot_be_written_is_named_without_a_number_of_the_system(tmp_path):
    class Full:
        def annotate(self, path):
            with naming(path):
                raise OSError(errno.ENOSPC, "No space left on device")

    [planned] = planned_outputs({"annotate": tmp_path / "e.mp4"}, ["a.mp4"])
    written, left = planned.write(Full())
    assert not written
    assert left == [
        f"annotate: {tmp_path}/e.mp4: cannot be written: no space is left on that "
        "disk; free some and run again"
    ]


def test_the_timeline_fills_the_marks_that_decided(scanned, tmp_path):
    pytest.importorskip("matplotlib")
    figure = scanned.plot_timeline(tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").stat().st_size > 5000
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert [title.split(":")[0] for title in titles] == [
        "face 1", "face 2", "whole frames"
    ]  # fmt: skip
    filled = figure.axes[0].lines[1]
    rows = scanned.timeline.query("detector == 'face' and face == 1 and decided")
    np.testing.assert_allclose(filled.get_xdata(), rows["seconds"])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "0.5, as near to real as to fake" in labels
    assert "filled: frames that weigh most in it" in figure.get_suptitle()


@pytest.mark.parametrize("target", ["out.txt", "out"])
def test_an_output_of_another_kind_is_refused(target):
    with pytest.raises(ValueError, match="must end in .mp4, or be a folder"):
        output_paths(target, ["a.mp4"], (".mp4",))


def test_templates_and_folders_name_outputs(tmp_path):
    videos = ["x/a.mp4", "y/b.mov"]
    names = output_paths("o/{stem}_seen.mp4", videos, (".mp4",))
    assert [path.as_posix() for path in names] == ["o/a_seen.mp4", "o/b_seen.mp4"]
    assert output_paths(tmp_path, videos, (".mp4",))[1] == tmp_path / "b.mp4"


def test_a_name_of_dots_leads_to_no_other_folder():
    paths = output_paths(
        "seen/{stem}/e.html", ["...mp4", "x/..mp4", "a.mp4"], (".html",)
    )
    assert not {".", ".."} & {part for path in paths for part in path.parts}
    assert len(set(paths)) == 3


def test_detectors_are_looked_at_one_by_one_too():
    look = look_closely([("m", _fitted_member())], _video(60, 230))
    assert len(look.faces) == 2
    assert look.scores["m"].round(2).tolist() == [0.11, 0.96]


def _fitted_member():
    return _member().fit([_video(60), _video(220)], [0, 1])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A saved ensemble of our own network, and two videos."""
    from base_models import FrameDetector

    folder = tmp_path_factory.mktemp("scan")
    for name, shade in (("a", 60), ("b", 220)):
        write_video(folder / f"{name}.mp4", _video(shade, n_frames=12), fps=10)
    videos = [_video(60 + i) for i in range(4)] + [_video(200 + i) for i in range(4)]
    detector = FrameDetector(
        "test_resnet", view="frame", train="head", weights=None, image_size=32,
        n_frames=2,
    )  # fmt: skip
    model = DeepfakeEnsemble([("net", detector)], resampling=2, verbose=False)
    model.fit(videos, [0] * 4 + [1] * 4, groups=range(8)).save(folder / "model.dfe")
    return folder


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code, *capsys.readouterr()


def test_scan_writes_what_was_asked_for(files, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    code, out, err = _run(
        capsys, "scan", files / "a.mp4", files / "b.mp4", "--model",
        files / "model.dfe", "--timeline", f"{tmp_path}/plots/", "--annotate",
        tmp_path / "seen.mp4", "--csv", tmp_path / "all.csv", "--json",
        tmp_path / "all.json",
    )  # fmt: skip
    assert code == 0, err
    for name in ("plots/a.png", "plots/b.png", "seen-a.mp4", "seen-b.mp4"):
        assert (tmp_path / name).is_file()
    assert "a.mp4" in out
    assert "P(fake)" in out
    assert "A video is called fake above 0.500. It is the default" in err
    with open(tmp_path / "all.csv") as file:
        rows = list(csv.DictReader(file))
    found = json.loads((tmp_path / "all.json").read_text())
    assert [row["verdict"] for row in rows] == [one["verdict"] for one in found]


def test_a_picture_that_cannot_be_written_is_no_success(
    files, tmp_path, capsys, monkeypatch
):
    def full(self, path):
        with naming(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ScanResult, "annotate", full)
    code, out, err = _run(
        capsys, "scan", files / "a.mp4", "-m", files / "model.dfe", "--annotate",
        tmp_path / "seen.mp4", "--json", tmp_path / "all.json",
    )  # fmt: skip
    assert code == 1, err
    assert "no space is left" in out
    assert json.loads((tmp_path / "all.json").read_text())[0]["status"] == "scored"


def test_scan_to_standard_output_is_clean(files, tmp_path, capsys):
    code, out, err = _run(
        capsys, "scan", files / "a.mp4", tmp_path / "no.mp4", "-m",
        files / "model.dfe", "--json", "-", "-q",
    )  # fmt: skip
    assert code == 1
    found = json.loads(out)
    assert [one["status"] for one in found] == ["scored", "unscorable"]
    assert "no.mp4" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotate", "x.avi"], "must end in .mp4"),
        (["--threshold", "frp=1"], "did you mean 'fpr'"),
        (["--prior", "2"], "between 0 and 1"),
    ],
)
def test_mistakes_are_told_before_any_video_is_opened(
    files, arguments, message, capsys
):
    code, _, err = _run(
        capsys, "scan", files / "a.mp4", "-m", files / "model.dfe", *arguments
    )
    assert code == 2
    assert message in " ".join(err.split())


def test_a_scan_says_how_far_it_is(model):
    told = []
    scan_video(model, _video(), on_step=lambda *step: told.append(step))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    reading = [share for share, doing in told if doing.startswith("reading")]
    np.testing.assert_allclose(reading, np.arange(41) / 80)  # before, and 40 frames
    assert [doing for share, doing in told if share == 0.5][1:] == [
        "scoring the video with 2 detectors"
    ]
    assert shares[-1] == 0.8
