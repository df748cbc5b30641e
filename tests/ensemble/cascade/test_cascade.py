"""A cascade asks fewer members, and says what the full ensemble would."""

import copy
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cascades import ASKED, COSTS, NAMES, drawn, fitted, members, n_asked, plain, video
from PIL import Image

from base_models import FrameDetector
from ensemble import ArtifactError, DeepfakeEnsemble, load
from ensemble.combiners import Voting
from ensemble.combiners.base import Combiner

pytestmark = pytest.mark.filterwarnings("ignore:cascade=:UserWarning")


@pytest.fixture(scope="module")
def exact():
    return fitted(combiner="soft", cascade="exact")


@pytest.fixture(scope="module")
def certified():
    return fitted(n_videos=400, combiner="soft", cascade=0.05)


@pytest.fixture(scope="module")
def new():
    scores, is_fake, _ = drawn(40, seed=7)
    return [video(row) for row in scores], is_fake


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    "combiner",
    [
        "soft",
        "hard",
        "median",
        "max",
        Voting("soft", weights=[5, 1, 1, 1]),
        "logistic",
        "lightgbm",
    ],
)
def test_exact_gives_the_labels_of_all_members_though_some_fail(combiner):
    model = fitted(n_videos=80, gaps=0.05, combiner=combiner, cascade="exact")
    videos = [video(row) for row in drawn(24, seed=5, gaps=0.2)[0]]
    table = model.judge(videos, doubts=False)
    everybody = plain(model, videos, doubts=False)
    assert table["verdict"].tolist() == everybody["verdict"].tolist()
    assert model.predict(videos).tolist() == (table["verdict"] == "FAKE").tolist()
    whole = n_asked(table) == 4
    np.testing.assert_array_equal(
        table["p_fake"][whole].to_numpy(), everybody["p_fake"][whole].to_numpy()
    )
    if combiner in ("soft", "hard", "max"):
        assert (~whole).any()


def test_who_was_not_asked_is_said_and_is_no_failure(exact, new):
    ASKED.clear()
    table = exact.judge(new[0], doubts=False)
    short = table[n_asked(table) < 4]
    n_calls = sum(n for _, n in ASKED)
    assert n_calls == n_asked(table).sum() < 4 * len(table)
    assert set(short["status"]) == {"scored"}
    first = short.iloc[0]
    asked = first["members_asked"].split(", ")
    assert first[asked].notna().all()
    assert first[[name for name in NAMES if name not in asked]].isna().all()
    in_order = [name for name in exact.cascade_.order if name in asked]
    assert first["reason"] == f"not asked: settled after {', '.join(in_order)}"


def test_exact_with_doubts_asks_whoever_could_raise_one(exact, new):
    with pytest.warns(UserWarning, match="any member could still raise a doubt"):
        table = exact.judge(new[0])
    assert (n_asked(table) == 4).all()
    alike = plain(exact, new[0])
    assert table.drop(columns="members_asked").equals(alike)


def test_what_asks_everybody_does_not_depend_on_the_cascade(exact, new):
    everybody = copy.copy(exact).set_params(cascade=None)
    np.testing.assert_array_equal(
        exact.predict_proba(new[0]), everybody.predict_proba(new[0])
    )
    assert exact.detector_scores(new[0]).notna().all().all()


@pytest.mark.slow
def test_a_certified_cascade_asks_less_and_seldom_differs(certified, new):
    table, everybody = certified.judge(new[0]), plain(certified, new[0])
    assert n_asked(table).mean() < 3.5
    assert (table["verdict"] != everybody["verdict"]).mean() <= 0.1
    (limit,) = certified.cascade_.limits.values()
    assert "With a confidence of 95 %, the verdict differs" in str(limit)
    assert limit.n_differ / limit.n_videos < 0.05 < limit.n_stopped / limit.n_videos


def test_one_by_one_and_in_a_table_it_is_the_same(certified, new):
    table = certified.judge(new[0])
    rows = list(certified.judge_each(new[0]))
    assert [row["p_fake"].item() for row in rows] == table["p_fake"].tolist()
    turned = certified.judge(new[0][::-1])
    assert turned["p_fake"].tolist() == table["p_fake"].tolist()[::-1]


@pytest.mark.slow
def test_on_a_cluster_it_is_the_same(certified, new, monkeypatch):
    from base_models.scoring import in_turn
    from base_models.scoring.together import iter_scores

    here = certified.judge(new[0])
    monkeypatch.setattr(in_turn, "goes_to_workers", lambda *_: True)
    monkeypatch.setattr(
        in_turn,
        "score_on_workers",
        lambda *given: ((*row, None) for row in iter_scores(*given)),
    )
    ASKED.clear()
    assert certified.judge(new[0]).equals(here)
    assert sum(n for _, n in ASKED) == 4 * len(here)  # of whom some are left out


@pytest.mark.parametrize("odd", [0.99999, np.nan])
def test_scores_never_seen_and_failures_go_on_to_the_end(certified, odd):
    first = certified.cascade_.order[0]
    scores = np.full(4, 0.97)
    assert n_asked(certified.judge([video(scores)]))[0] == 2
    assert certified.oof_scores_[first].max() < 0.9999
    scores[NAMES.index(first)] = odd
    assert n_asked(certified.judge([video(scores)]))[0] == 4


@pytest.mark.parametrize("cascade", [-0.1, 0, 1, True, "exakt", "1%", np.nan])
def test_a_cascade_that_was_set_later_is_checked_too(certified, new, cascade):
    model = copy.copy(certified).set_params(cascade=cascade)
    with pytest.raises(ValueError, match="cascade must be None, 'exact' or the share"):
        model.judge(new[0])


def test_too_few_groups_certify_nothing_and_the_number_is_said(new):
    with pytest.warns(
        UserWarning, match="598 groups or more .* 80, which certify 0.037 or"
    ):
        model = fitted(combiner="soft", cascade=0.005)
    table = model.judge(new[0])
    assert (n_asked(table) == 4).all()
    assert table.drop(columns="members_asked").equals(plain(model, new[0]))


@pytest.mark.slow
def test_p_fake_of_a_stopped_video_is_that_of_its_stage(new):
    model = fitted(n_videos=400, combiner="soft", cascade=0.05, calibration="platt")
    table = model.judge(new[0])
    row = table[n_asked(table) == 1].iloc[0]
    stage, first = model.cascade_.stages[0], model.cascade_.order[0]
    score = stage.combiner.fake_score(table.loc[[row.name], [first]])
    assert stage.calibrator.method == "platt"
    assert row["p_fake"] == stage.calibrator(score)[0] != score[0]


@pytest.mark.slow
def test_saved_and_loaded_it_asks_the_same(certified, new, tmp_path):
    certified.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe", detectors=members())
    assert again.cascade == 0.05
    assert again.fit_record_.cascade.limits == certified.cascade_.limits
    assert again.judge(new[0]).equals(certified.judge(new[0]))


def test_a_cascade_of_others_is_refused_in_a_file(certified, new, tmp_path):
    other = copy.copy(certified)
    forged = replace(certified.cascade_, order=["a", "b", "c", "z"])
    other.fit_record_ = replace(certified.fit_record_, cascade=forged)
    other.save(tmp_path / "model.dfe")
    with pytest.raises(ArtifactError, match="its cascade .* it asks a, b, c, z, and h"):
        load(tmp_path / "model.dfe", detectors=members())


@pytest.mark.slow
def test_without_it_files_are_as_they_were_and_it_can_be_asked_for_later(
    certified, new, tmp_path
):
    without = fitted(n_videos=400, combiner="soft", member_costs=None)
    without.save(tmp_path / "without.dfe")
    content = (tmp_path / "without.dfe").read_bytes()
    assert b"cascade" not in content
    assert b"member_costs" not in content
    again = load(tmp_path / "without.dfe", detectors=members())
    again.set_params(cascade=0.05, member_costs=COSTS)
    assert again.judge(new[0]).equals(certified.judge(new[0]))


@pytest.mark.slow
def test_another_combiner_and_one_more_member_learn_it_anew(certified, new):
    model = copy.copy(certified)
    ASKED.clear()
    model.refit_combiner("median")
    assert not ASKED  # no detector was
    assert model.cascade_ is not certified.cascade_
    assert model.cascade_.stages[1].combiner.kind == "median"
    scores, is_fake, groups = drawn(80, seed=0)
    videos = [video(row) for row in scores]
    two = DeepfakeEnsemble(
        {name: members()[name] for name in "ab"},
        combiner="soft",
        cascade="exact",
        resampling=4,
        verbose=False,
    ).fit(videos, is_fake, groups=groups)
    two.add_detector("c", members()["c"])
    assert sorted(two.cascade_.order) == ["a", "b", "c"]


@pytest.mark.slow
def test_members_are_asked_in_order_of_what_they_tell_for_their_cost():
    dear = fitted(combiner="soft", cascade="exact", member_costs=COSTS | {"a": 1e6})
    assert dear.cascade_.order[-1] == "a"
    assert dear.cascade_.costs["a"] == 1e6
    unknown = fitted(combiner="soft", cascade="exact", member_costs={"a": 1.0})
    assert unknown.cascade_.costs is None
    assert "costs are not known and count alike" in str(unknown.cascade_)


class Own(Combiner):
    """The mean, on a combiner class of one's own, with bounds of one's own."""

    def __init__(self, scale="probability", clip=1e-3, fake_label=None):
        self.scale, self.clip, self.fake_label = scale, clip, fake_label

    def _fit(self, rows):
        pass

    def _fake_score(self, scores):
        return np.nanmean(scores, axis=1)


class OwnWithBounds(Own):
    def score_bounds(self, X, asked):
        return np.full(len(X), 0.6), np.full(len(X), 0.9)


@pytest.mark.slow
def test_a_combiner_of_ones_own_may_offer_bounds(new):
    with pytest.warns(UserWarning, match="Own offers no score_bounds"):
        model = fitted(combiner=Own(), cascade="exact")
    assert (n_asked(model.judge(new[0], doubts=False)) == 4).all()
    model = fitted(combiner=OwnWithBounds(), cascade="exact")
    table = model.judge(new[0], doubts=False)
    assert (n_asked(table) == 1).all()
    assert table["p_fake"].between(0.6, 0.9).all()


def test_a_cascade_of_trained_detectors_without_labels_asks_by_cost(new):
    model = DeepfakeEnsemble.from_detectors(
        members(), combiner="max", cascade="exact", member_costs=COSTS, verbose=False
    )
    assert model.cascade_.order == NAMES
    assert (n_asked(model.judge(new[0])) == 4).all()  # all are UNSURE, so in doubt
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = model.judge(new[0], doubts=False)
    assert (n_asked(table) == 1).any()
    model.set_params(cascade=0.1)
    with pytest.warns(UserWarning, match="is certified on labelled real and fake vid"):
        assert (n_asked(model.judge(new[0], doubts=False)) == 4).all()
    model.set_params(cascade="exact", member_costs=COSTS | {"a": 9.0})
    assert model.cascade_.order == ["b", "c", "d", "a"]  # it is learned anew
    assert (
        table["verdict"].tolist()
        == plain(model, new[0], doubts=False)["verdict"].tolist()
    )


@pytest.mark.parametrize("cascade", ["exakt", 0, 1, True, -0.1, [0.1]])
def test_what_is_no_cascade_is_refused(cascade):
    with pytest.raises(ValueError, match="cascade must be None, 'exact' or the share"):
        fitted(cascade=cascade)


def test_costs_of_nobody_are_refused():
    with pytest.raises(ValueError, match="names 'e', which is no member"):
        fitted(cascade="exact", member_costs={"e": 1.0})


def test_a_terminal_asks_in_turn_and_says_what_is_promised(tmp_path, capsys):
    from ensemble.cli.app import main

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return ended.value.code

    folders = []
    for name, shade in (("dark", 30), ("bright", 220)):
        for number in range(4):
            folder = tmp_path / f"{name}{number}"
            folder.mkdir()
            image = np.full((32, 32, 3), shade + number, np.uint8)
            Image.fromarray(image).save(folder / "0.png")
            Image.fromarray(image).save(folder / "1.png")
            folders.append(str(folder))
    nets = {
        f"net{seed}": FrameDetector(
            "test_resnet",
            view="frame",
            train="head",
            weights=None,
            image_size=size,
            n_frames=2,
            random_state=seed,
        )
        for seed, size in enumerate((96, 32))
    }
    model = DeepfakeEnsemble(nets, combiner="max", resampling=2, verbose=False)
    model.fit(folders, [0] * 4 + [1] * 4, groups=range(8))
    model.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe").set_params(cascade="exact", verbose=False)
    small, large = again.cascade_.costs["net1"], again.cascade_.costs["net0"]
    assert 7 < large / small < 10  # multiply-adds of 96 x 96 and of 32 x 32 pixels
    assert again.predict(folders).tolist() == model.predict(folders).tolist()
    judged = again.judge(folders, doubts=False)
    table = tmp_path / "videos.csv"
    table.write_text("\n".join(["path", *folders]))
    done = again.judge_table(table, tmp_path / "out", doubts=False, isolation=None)
    written = pd.read_parquet(done.output)
    assert written["members_asked"].tolist() == judged["members_asked"].tolist()
    assert written["p_fake"].tolist() == judged["p_fake"].tolist()
    args = ["predict", str(tmp_path / "model.dfe"), *folders, "--csv", "--no-doubts"]
    assert run(*args, "--cascade", "exact") == 0
    out, err = capsys.readouterr()
    assert "Members are asked in this order, by what they tell for their cost" in err
    assert "No verdict differs from the full ensemble's." in err
    assert "members_asked" in out.splitlines()[0]
    assert run(*args) == 0
    assert "members_asked" not in capsys.readouterr().out
    assert run(*args, "--cascade", "often") == 2
    assert "--cascade must be None, 'exact' or the share" in capsys.readouterr().err
