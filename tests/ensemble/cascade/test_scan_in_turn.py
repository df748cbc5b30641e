"""A scan whose members are asked in turn: the verdict of `judge`, and who was asked."""

import numpy as np
import pytest
from cascades import ASKED, drawn, fitted, video

from base_models import FrequencyDetector, write_video
from ensemble import DeepfakeEnsemble, scan_video
from ensemble.cli.app import main


@pytest.fixture(scope="module")
def model():
    return fitted(n_videos=240, cascade=0.1, random_state=0)


@pytest.fixture(scope="module")
def videos():
    return [video(row) for row in drawn(12, seed=7)[0]]


def test_a_scan_in_turn_says_what_judge_says(model, videos):
    judged, stopped = model.judge(videos), 0
    for one, (_, row) in zip(videos, judged.iterrows(), strict=True):
        ASKED.clear()
        scan = scan_video(model, one, cascade=True)
        asked = row["members_asked"].split(", ")
        assert {"abcd"[place] for place, _ in ASKED} == set(asked)
        assert (scan.p_fake, scan.verdict) == (row["p_fake"], row["verdict"])
        assert (scan.status, scan.reason) == (row["status"], row["reason"])
        left = scan.members.drop(index=asked)
        assert left["p_fake"].isna().all()
        assert left["reason"].str.startswith("not asked: settled after").all()
        assert scan.how.steps[-1][1] == scan.p_fake
        if len(left):
            stopped += 1
            assert scan.how.members.loc[asked, "moved"].notna().all()
            assert scan.how.members["weight"].isna().all()
            first = np.log(scan.how.steps[0][1] / (1 - scan.how.steps[0][1]))
            start = np.log(scan.how.start / (1 - scan.how.start))
            moved = scan.how.members["moved"].sum()
            assert first - start == pytest.approx(moved, abs=1e-6)  # it is linear
    assert stopped


def test_without_being_asked_for_everybody_is_asked(model, videos):
    scan = scan_video(model, videos[0])
    assert scan.members["p_fake"].notna().all()
    assert not scan.members["reason"].any()


@pytest.fixture(scope="module")
def of_frames(toy_videos, tmp_path_factory):
    """A model with timelines, whose first member tells all, and a clip."""
    videos, y, groups = toy_videos
    folder = tmp_path_factory.mktemp("scan")
    members = {
        name: FrequencyDetector("frame", size, n_frames=2)
        for name, size in (("coarse", 32), ("fine", 48))
    }
    model = DeepfakeEnsemble(
        members, "voting", resampling=2, store=folder / "s", cascade="exact",
        combiner="soft", member_costs={"coarse": 1, "fine": 9}, random_state=0,
        verbose=False,
    )  # fmt: skip
    model.fit(videos, y, groups=groups)
    return model, write_video(folder / "clip.mp4", videos[1])


def test_pages_and_tables_of_such_a_scan_show_who_was_asked(of_frames, tmp_path):
    model, clip = of_frames
    settled = []
    for threshold in (0.01, 0.99, 0.5):
        model.set_params(threshold=threshold)
        scan = scan_video(model, clip, doubts=False, cascade=True)
        assert scan.p_fake == model.judge([clip], doubts=False)["p_fake"].iloc[0]
        page = scan.to_html(tmp_path / "page.html").read_text("utf-8")
        n_asked = int(scan.members["p_fake"].notna().sum())
        assert scan.timeline["detector"].nunique() == n_asked
        assert ("not asked: settled after" in page) == (n_asked < 2)
        settled.append(n_asked < 2)
        assert scan.to_dict()["p_fake"] == scan.p_fake
    assert any(settled)
    model.set_params(threshold=None)


def test_the_command_scans_in_turn(of_frames, tmp_path, capsys):
    model, clip = of_frames
    model.save(tmp_path / "model.dfe")
    with pytest.raises(SystemExit) as left:
        main(["scan", str(clip), "-m", str(tmp_path / "model.dfe"), "--no-doubts",
              "--threshold", "0.99", "--cascade", "exact"])  # fmt: skip
    out, err = capsys.readouterr()
    assert not left.value.code, err
    assert "not asked: settled after coarse" in out
    assert "Members are asked in this order" in err
