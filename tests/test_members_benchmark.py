"""The benchmark of members: it runs, goes on where it was stopped, and is right."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

BENCHMARKS = Path(__file__).resolve().parents[1] / "examples" / "benchmarks"
SMALL = {
    "network": "test_resnet", "foundation": "test_vit", "image-size": 64, "frames": 4,
    "pairs": 24, "foundation-pairs": 24, "epochs": 1, "clip-frames": 10,
    "clip-size": 128, "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def load():
    """Return a function that imports a script of the benchmarks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Six made people, and two clips that stand for generated ones."""
    from ensemble.datasets import make_forgeries

    folder = tmp_path_factory.mktemp("footage")
    made = make_forgeries(
        folder / "made", n_identities=6, n_frames=12, random_state=0, verbose=0
    )
    rows = []
    for number, (video, label) in enumerate(zip(made.videos, made.labels, strict=True)):
        if label == 0 or number < 4:
            name, kind = f"clip{number}.mp4", "fake" if label else "real"
            (folder / kind).mkdir(exist_ok=True)
            shutil.copy(video, folder / kind / name)
            rows.append((f"{kind}/{name}", kind, f"person{number}", f"{kind}-made"))
    table = pd.DataFrame(rows, columns=["file", "label", "group", "method"])
    table.to_csv(folder / "manifest.csv", index=False)
    return folder


def run(monkeypatch, members, *words):
    small = [f"--{name}={value}" for name, value in SMALL.items()]
    argv = ["members.py", *map(str, words), *small, "--random-weights"]
    monkeypatch.setattr(sys, "argv", argv)
    members.main()


@pytest.mark.slow
def test_a_miniature_is_stopped_and_goes_on(
    load, footage, monkeypatch, tmp_path, capsys
):
    members, out = load("members"), tmp_path / "out.json"
    monkeypatch.setattr(load("members_parts.figures"), "N_BOOT", 20)
    words = ["--clips", footage, "--cache", tmp_path, "--json", out, "--folds", "2"]
    run(monkeypatch, members, *words, "--fold", "1", "--budget", "0")
    assert "the budget is spent" in capsys.readouterr().out
    run(monkeypatch, members, *words, "--fold", "1", "--members", "frequency")
    alone = json.loads(out.read_text())["raw"]
    assert set(alone["learned"]) == {"fold1", "fold0-reals"}  # this for weights alone
    figures = pd.DataFrame(alone["figures"]).set_index("section")
    assert figures["n_real"]["forged, c23"].max() <= 2  # of one fold
    assert "fold1: frequency\n" in capsys.readouterr().out
    run(monkeypatch, members, *words, "--ablation")
    assert "fold1: frequency\n" not in capsys.readouterr().out  # it was kept
    raw = json.loads(out.read_text())["raw"]
    names = load("members_parts.setup").NAMES
    assert set(raw["costs"]) == {"looking", *names}
    assert all(cost["fit"] > 0 < cost["video"] for cost in raw["costs"].values())
    assert set(raw["learned"]) == {"fold0", "fold1"}
    aside = load("members_parts.setup").ASIDE
    assert set(raw["learned"]["fold0"]["weights"]) == set(names) - set(aside)
    figures = pd.DataFrame(raw["figures"])
    asked = set(figures["section"])
    assert {"forged, c23", "forged, c40", "LandmarkSwap, c40", "generated"} <= asked
    assert {"pseudo-fakes, resynthesised", "pseudo-fakes, swapped"} <= asked
    assert {(row["of"], row["over"]) for row in raw["ablation"]} >= {
        ("flicker", "without reenacted"),
        ("mean of log-odds", "without swapped"),
    }
    both = [row for row in raw["ahead"] if row["over"] == "chosen beforehand"]
    assert both
    for row in both:
        found = figures[figures["section"] == row["section"]].set_index("name")["auc"]
        assert row["ahead"] == pytest.approx(found[row["of"]] - found[row["over"]])


@pytest.mark.slow
def test_a_table_is_scored_by_what_learned_from_a_folder(
    load, footage, monkeypatch, tmp_path
):
    members, out = load("members"), tmp_path / "scores.csv"
    table = pd.read_csv(footage / "manifest.csv").rename(columns={"file": "path"})
    table.to_csv(footage / "videos.csv", index=False)
    words = ["--train", footage, "--test", footage / "videos.csv", "--scores", out]
    run(monkeypatch, members, *words, "--members", "frequency,flicker")
    scores = pd.read_csv(out)
    assert scores[["path", "label"]].equals(table[["path", "label"]])
    assert scores["in spreads, weighed"].between(0, 1).all()
    costs = pd.read_csv(tmp_path / "scores_costs.csv", index_col="member")
    assert set(costs.index) == {"looking", "frequency", "flicker"}
    assert (costs.loc["flicker"] > 0).all()


@pytest.mark.slow
def test_training_with_labels_is_compared(load, footage, monkeypatch, tmp_path):
    small = {"image_size": 48, "epochs": 1, "weights": None}
    monkeypatch.setattr(load("members_parts.labelled"), "_NETS", {"test_resnet": small})
    out = tmp_path / "out.json"
    words = ["--clips", footage / "real", "--labelled", "--folds", "3"]
    run(monkeypatch, load("members"), *words, "--cache", tmp_path, "--json", out)
    found = json.loads(out.read_text())
    assert set(found["raw"]["auc"]) == {
        "test_resnet head", "test_resnet full", "frequency", "flicker", "ensemble",
    }  # fmt: skip
    assert [goal["goal"][:11] for goal in found["goals"][:2]] == ["test_resnet"] * 2


def test_fits_are_not_mixed_in_an_auc(load):
    area_within = load("members_parts.figures").area_within
    draw = np.random.default_rng(0)
    y, strata = draw.integers(0, 2, 60), np.repeat([0, 1, 2], 20)
    scores = draw.integers(0, 5, 60) + 100.0 * strata  # ties; other scales
    parts = [(y[strata == s], scores[strata == s]) for s in range(3)]
    pairs = [labels.sum() * (1 - labels).sum() for labels, _ in parts]
    expected = np.average([roc_auc_score(*part) for part in parts], weights=pairs)
    assert area_within(y, scores, strata) == pytest.approx(expected)


def test_weights_and_choice_come_from_other_people(load):
    together = load("members_parts.together")
    draw = np.random.default_rng(0)
    n = 24
    label = np.repeat([0, 1, 1], n)
    table = pd.DataFrame({
        "path": np.tile([f"{i}.mp4" for i in range(n)], 3),
        "group": np.tile([f"{i}" for i in range(n)], 3),
        "part": np.tile(np.repeat(["fold0", "fold1"], n // 2), 3),
        "method": np.repeat(["none", "one kind", "other kind"], n),
        "set": "made",
        "level": "as it is",
        "label": label,
        "sees": 1 / (1 + np.exp(-draw.normal(2 * label, 1))),
        "blind": draw.uniform(0.1, 0.9, 3 * n),
    })  # fmt: skip
    scored, learned = together.add_ensembles(table, ["blind", "sees"])
    assert [learned[part]["chosen"] for part in ("fold0", "fold1")] == ["sees"] * 2
    assert learned["fold0"]["weights"]["sees"] > 0.5
    changed = table.copy()
    mine = changed["part"] == "fold0"
    changed.loc[mine, "sees"] = draw.uniform(0.1, 0.9, mine.sum())
    _, again = together.add_ensembles(changed, ["blind", "sees"])
    assert again["fold0"] == learned["fold0"]
    assert again["fold1"] != learned["fold1"]
    assert scored[together.CHOSEN].equals(table["sees"].rename(together.CHOSEN))


def test_nobody_is_in_two_folds_and_generated_clips_go_to_strangers(load):
    videos = load("members_parts.videos")
    people = [f"p{i // 2}" for i in range(14)]
    generated = pd.DataFrame({
        "path": list("abc"), "group": ["p3", "x", "p5"], "method": "made",
    })  # fmt: skip
    footage = videos.Footage([f"{i}" for i in range(14)], people, generated)
    folds = footage.folds(3, seed=0)
    assert sorted(person for fold in folds for person in fold) == sorted(set(people))
    for number, fold in enumerate(folds):
        mine = footage.generated_in(number, folds)
        assert {g for g in mine["group"] if g != "x"} == fold & {"p3", "p5"}
    total = [len(footage.generated_in(number, folds)) for number in range(3)]
    assert sum(total) == 3


def test_a_member_is_not_taken_for_a_column(load):
    about = {name: ["x"] for name in ("path", "method", "reason")}
    scores = pd.DataFrame(about | {"score": [0.5]})
    side_by_side = load("members_parts.together").side_by_side
    assert side_by_side({"fold0": {"motion": scores}})["motion"].tolist() == [0.5]
    with pytest.raises(ValueError, match=r"cannot be called \['path'\]"):
        side_by_side({"fold0": {"motion": scores, "path": scores}})
