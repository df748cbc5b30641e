"""``combine`` and ``apply``: rules on tables of scores."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import ensemble
from ensemble import ScorePipeline, read_scores
from ensemble.cli.app import main
from ensemble.scores import companions


def run(*arguments):
    with pytest.raises(SystemExit) as left:
        main([str(one) for one in arguments])
    return left.value.code


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """train.csv with labels, new.csv with other columns in another order."""
    folder = tmp_path_factory.mktemp("tables")
    draw = np.random.default_rng(0)
    for name, n in (("train", 160), ("new", 8)):
        y = np.arange(n) % 2
        p = 1 / (1 + np.exp(draw.normal(1 - 2 * y[:, None], 1.5, (n, 2))))
        table = pd.DataFrame(p, columns=["p_a", "p_b"])
        table.insert(0, "video", [f"{row}.mp4" for row in range(n)])
        if name == "train":
            table["label"] = np.where(y == 1, "FAKE", "REAL")
            table["group"] = np.arange(n) // 4
        else:
            table["camera"] = "x"
            table = table[["camera", "p_b", "video", "p_a"]]
        table.to_csv(folder / f"{name}.csv", index=False)
    combiner = ["--combiner", "logistic", "--draws", "20"]
    assert run("combine", folder / "train.csv", "-o", folder / "r.dfe", *combiner) == 0
    return folder


@pytest.fixture
def folder(tables, tmp_path):
    shutil.copytree(tables, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_combine_fits_what_python_fits(folder):
    table = read_scores(folder / "train.csv", scores="p_*")
    beside = companions(table)
    expected = ScorePipeline("logistic", n_boot=20)
    expected.fit(table, beside["label"], groups=beside["group"])
    rule = ensemble.load(folder / "r.dfe")
    pd.testing.assert_frame_equal(rule.judge(table), expected.judge(table))


@pytest.mark.slow
def test_combine_says_the_rule(folder, capsys):
    out = folder / "again.dfe"
    assert run("combine", folder / "train.csv", "--out", out, "--combiner", "soft") == 0
    assert ScorePipeline.load(out).describe() in capsys.readouterr().out
    assert run("combine", folder / "train.csv", "-o", out, "--combiner", "soft",
               "--draws", "5", "-q") == 0  # fmt: skip
    assert ScorePipeline.load(out).describe() in capsys.readouterr().out


def test_apply_matches_columns_by_name(folder, capsys):
    out = folder / "verdicts.csv"
    assert run("apply", folder / "r.dfe", folder / "new.csv", "--out", out) == 0
    said = capsys.readouterr().err
    assert "the rule does not use the columns 'camera'" in said
    assert "8 rows: " in said
    written = pd.read_csv(out, index_col="video", keep_default_na=False)
    new = pd.read_csv(folder / "new.csv", index_col="video")[["p_a", "p_b"]]
    expected = ScorePipeline.load(folder / "r.dfe").judge(new)
    assert (written.pop("camera") == "x").all()
    pd.testing.assert_frame_equal(written, expected)
    assert run("apply", folder / "r.dfe", folder / "new.csv", "-o", out) == 0


def test_apply_prints_what_it_does_not_write(folder, capsys):
    options = ["--threshold", "fpr=0.2", "--prior", "0.1", "--abstain"]
    assert run("apply", folder / "r.dfe", folder / "new.csv", *options) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("camera,video,p_fake,lower,upper,verdict,status,")
    assert len(printed.splitlines()) == 9


def test_apply_hands_on_every_other_column_as_it_is(folder, capsys):
    lines = ["note;p_b;video_id;p_a;was", "a, b;0,2;007;0,9;mine", ";-;7;0,4;"]
    (folder / "new.csv").write_text("\n".join(lines), encoding="utf-8")
    out = folder / "verdicts.csv"
    assert run("apply", folder / "r.dfe", folder / "new.csv", "-o", out) == 0
    assert run("apply", folder / "r.dfe", folder / "new.csv", "-o", out) == 0
    written = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert list(written)[:5] == ["note", "video_id", "was", "p_fake", "lower"]
    assert written["video_id"].tolist() == ["007", "7"]
    assert written["note"].tolist() == ["a, b", ""]
    assert written["was"].tolist() == ["mine", ""]
    assert written["status"].tolist() == ["scored", "partial"]
    written.assign(mine=1).to_csv(out, index=False)  # no column of the table
    assert run("apply", folder / "r.dfe", folder / "new.csv", "-o", out) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_columns_of_the_names_of_verdicts_stay(folder, capsys):
    new = pd.read_csv(folder / "new.csv").assign(verdict="mine", rule_lower="")
    new.to_csv(folder / "new.csv", index=False)
    assert run("apply", folder / "r.dfe", folder / "new.csv") == 0
    out, err = capsys.readouterr()
    header = out.splitlines()[0].split(",")
    assert header[:5] == [
        "camera",
        "video",
        "verdict",
        "rule_lower",
        "rule_rule_p_fake",
    ]
    assert len(set(header)) == len(header)
    assert "in those that begin with rule_rule_" in err


def test_rows_without_ids_are_numbered(folder, capsys):
    new = pd.read_csv(folder / "new.csv")[["p_a", "p_b"]]
    new.to_csv(folder / "new.csv", index=False)
    assert run("apply", folder / "r.dfe", folder / "new.csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("video,p_fake,")
    assert [line.split(",")[0] for line in lines[1:]] == list("01234567")


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("word", ["n/a", "NA", "-", "None", "#N/A", "?", ""])
def test_words_for_missing_are_the_same_in_training_and_in_use(word, folder, capsys):
    for name in ("train", "new"):
        table = pd.read_csv(folder / f"{name}.csv", dtype=str)
        table.loc[3, "p_a"] = word
        table.to_csv(folder / f"{name}.csv", index=False)
    options = ["--combiner", "soft", "--draws", "0", "--out", folder / "s.dfe"]
    assert run("combine", folder / "train.csv", *options) == 0
    assert run("apply", folder / "s.dfe", folder / "new.csv") == 0
    row = capsys.readouterr().out.splitlines()[-5].split(",")
    assert "partial" in row
    new = pd.read_csv(folder / "new.csv", dtype=str, keep_default_na=False)
    new.loc[3, "p_a"] = "nought"
    new.to_csv(folder / "new.csv", index=False)
    assert run("apply", folder / "s.dfe", folder / "new.csv") == 2
    assert "'nought' for '3.mp4'; write a number" in capsys.readouterr().err


def test_rows_without_scores_are_unsure_and_counted(folder):
    new = pd.read_csv(folder / "new.csv")
    new.loc[2, ["p_a", "p_b"]] = np.nan
    new.to_csv(folder / "new.csv", index=False)
    out = folder / "verdicts.csv"
    assert run("apply", folder / "r.dfe", folder / "new.csv", "-o", out) == 1
    row = pd.read_csv(out, index_col="video").loc["2.mp4"]
    assert row["verdict"] == "UNSURE"
    assert np.isnan(row["p_fake"])
    assert row["reason"] == "no member has a score"


def test_columns_that_were_turned_round_are_turned_round_again(folder):
    for name in ("train", "new"):
        table = pd.read_csv(folder / f"{name}.csv")
        table.assign(p_b=1 - table["p_b"]).to_csv(folder / f"{name}_r.csv", index=False)
    assert run("combine", folder / "train_r.csv", "-o", folder / "r_r.dfe", "--invert",
               "p_b", "--combiner", "logistic", "--draws", "20") == 0  # fmt: skip
    for table, rule in (("new", "r"), ("new_r", "r_r")):
        assert run("apply", folder / f"{rule}.dfe", folder / f"{table}.csv", "-o",
                   folder / f"{table}_verdicts.csv") == 0  # fmt: skip
    one, other = (
        pd.read_csv(folder / f"{table}_verdicts.csv") for table in ("new", "new_r")
    )
    np.testing.assert_allclose(one["p_fake"], other["p_fake"], atol=1e-3)


def test_how_a_column_was_turned_round_is_in_the_rule(folder, capsys):
    """-a lies within -1 to 0, and turned round within 0 to 1."""
    for name in ("train", "new"):
        table = pd.read_csv(folder / f"{name}.csv")
        table = table.assign(d_a=-table["p_a"])
        table.to_csv(folder / f"{name}_d.csv", index=False)
    options = ["--combiner", "log_odds", "--draws", "5"]
    for columns, rule in ((["p_a,p_b"], "p"), (["d_a,p_b", "--invert", "d_a"], "d")):
        assert run("combine", folder / "train_d.csv", "-o", folder / f"{rule}.dfe",
                   "--scores", *columns, *options) == 0  # fmt: skip
        assert run("apply", folder / f"{rule}.dfe", folder / "new_d.csv", "-o",
                   folder / f"{rule}.csv") == 0  # fmt: skip
    assert "turned round (-x)" in capsys.readouterr().out
    one, other = (pd.read_csv(folder / f"{rule}.csv") for rule in ("p", "d"))
    np.testing.assert_allclose(one["p_fake"], other["p_fake"])


def test_rows_without_a_label_are_left_out(folder, capsys):
    table = pd.read_csv(folder / "train.csv", dtype=object)
    table.loc[:3, "label"] = ""
    table.to_csv(folder / "some.csv", index=False)
    combiner = ["--combiner", "soft", "--draws", "0"]
    assert run("combine", folder / "some.csv", "-o", folder / "s.dfe", *combiner) == 0
    assert "4 rows without a label are left out" in capsys.readouterr().err
    bare = table.drop(columns=["label", "group"])
    bare.to_csv(folder / "bare.csv", index=False)
    assert run("combine", folder / "bare.csv", "-o", folder / "s.dfe") == 2
    assert "has no labels" in capsys.readouterr().err
    assert run("combine", folder / "train.csv", "-o", folder / "s.dfe", *combiner) == 0
    table.drop(columns="group").to_csv(folder / "alone.csv", index=False)
    assert run("combine", folder / "alone.csv", "-o", folder / "s.dfe", *combiner) == 0
    assert "no groups were given" in capsys.readouterr().err


@pytest.mark.slow_after(6)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["apply", "r.dfe", "new.csv", "-o", "new.csv"], "is one of the inputs"),
        (["apply", "r.dfe", "new.csv", "-o", "r.dfe"], "give another name"),
        (["apply", "r.dfe", "new.csv", "-o", "train.csv"], "--overwrite to replace"),
        (["combine", "train.csv", "-o", "train.csv"], "give another name"),
        (["combine", "train.csv", "-o", "r.dfe", "--combiner", "x"], "unknown combin"),
        (["apply", "train.csv", "new.csv"], "it is a table; the model comes first"),
        (["apply", "absent.dfe", "new.csv"], "no saved ensemble at absent.dfe"),
        (["apply", "r.dfe", "new.csv", "--threshold", "fpr=0.0001"], "cannot be told"),
        (["predict", "r.dfe", "a.mp4"], "holds no detectors"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run(*arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("command", ["combine", "compare"])
@pytest.mark.parametrize(
    ("column", "entry", "message"),
    [
        (
            "label",
            "MAYBE",
            r"got 3: FAKE, MAYBE, REAL, .* that of '7\.mp4'; leave",
        ),
        ("group", "", r"1 of 160 videos have no group: '7\.mp4'; fill them in"),
    ],
)
def test_wrong_labels_and_groups_are_named_by_file_and_video(
    command, column, entry, message, folder, capsys
):
    table = pd.read_csv(folder / "train.csv", dtype=object)
    table.loc[7, column] = entry
    table.to_csv(folder / "wrong.csv", index=False)
    out = ["-o", folder / "s.dfe"] if command == "combine" else []
    assert run(command, folder / "wrong.csv", *out) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert re.search(f"error: .*wrong.csv: .*{message}", err), err


def test_random_bytes_are_no_table(folder, capsys):
    (folder / "wrong.csv").write_bytes(np.random.default_rng(4).bytes(4000))
    assert run("combine", folder / "wrong.csv", "-o", folder / "s.dfe") == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "it is damaged, or no table of text: save it as CSV in UTF-8" in err, err


def test_a_missing_column_is_named(folder, capsys):
    new = pd.read_csv(folder / "new.csv").rename(columns={"p_b": "resnet"})
    new.to_csv(folder / "new.csv", index=False)
    assert run("apply", folder / "r.dfe", folder / "new.csv") == 2
    assert "has no column 'p_b', which the rule was" in capsys.readouterr().err


def test_values_of_shift_are_held_out(folder, capsys):
    table = pd.read_csv(folder / "train.csv")
    table["method"] = np.where(table["label"] == "FAKE", table["group"] % 3, "real")
    table.to_csv(folder / "methods.csv", index=False)
    assert run("combine", folder / "methods.csv", "-o", folder / "s.dfe", "--shift",
               "method", "--combiner", "soft", "--draws", "0") == 0  # fmt: skip
    assert "nor its method or source (shift)" in capsys.readouterr().out
    rule = ScorePipeline.load(folder / "s.dfe")
    assert rule.shifted_
    assert rule.detector_names_ == ["p_a", "p_b"]
    assert run("combine", folder / "train.csv", "-o", folder / "s.dfe", "--shift",
               "methd") == 2  # fmt: skip
    assert "--shift methd is none of the columns" in capsys.readouterr().err
    table["method"] = table["method"].replace({"real": " ", "0": None})
    table.to_csv(folder / "gaps.csv", index=False)
    n_blank = int(table["method"].isin([" ", None]).sum())
    assert run("combine", folder / "gaps.csv", "-o", folder / "t.dfe", "--shift",
               "method") == 2  # fmt: skip
    err = capsys.readouterr().err
    assert "--shift must say of every video what may be new in it" in err
    assert f"{n_blank} of 160 have no value" in err


@pytest.mark.slow
def test_apply_loads_nothing_that_scores_videos(folder):
    code = (
        "import sys\nfrom ensemble.cli.app import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as left:\n"
        "    assert not left.code\n"
        "heavy = ('torch', 'cv2', 'dlib', 'av', 'lightgbm', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    arguments = ["apply", folder / "r.dfe", folder / "new.csv", "-o", folder / "v.csv"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr


def test_the_labels_are_no_shift_and_groups_may_be(folder, capsys):
    arguments = ["combine", folder / "train.csv", "-o", folder / "s.dfe"]
    assert run(*arguments, "--shift", "label") == 2
    assert "--shift label is the column of the labels" in capsys.readouterr().err
    few = ["--combiner", "soft", "--draws", "0"]
    assert run(*arguments, "--shift", "group", "--group", "group", *few) == 0
    assert ScorePipeline.load(folder / "s.dfe").detector_names_ == ["p_a", "p_b"]


def test_a_class_in_one_group_has_its_videos_counted(folder, capsys):
    table = pd.read_csv(folder / "train.csv")
    table.loc[table["label"] == "REAL", "group"] = 0
    table.to_csv(folder / "one.csv", index=False)
    rule, few = folder / "one.dfe", ["--combiner", "soft", "--draws", "0"]
    assert run("combine", folder / "one.csv", "-o", rule, *few) == 0
    out = capsys.readouterr().out
    assert "learned from 80 real and 80 fake videos (40 groups)" in out
    assert "P(fake) = s orders videos and is no probability" in out
    assert "meant for" not in out
    new = pd.read_csv(folder / "new.csv")
    new.loc[0, ["p_a", "p_b"]] = np.nan
    new.to_csv(folder / "new.csv", index=False)
    assert run("apply", rule, folder / "new.csv", "-o", folder / "v.csv") == 1
    said = "8 UNSURE. Most frequent reason of UNSURE (7 of 8): a class was in one group"
    assert said in capsys.readouterr().err


def test_combine_names_its_own_option_for_an_inverted_column(folder, capsys):
    table = pd.read_csv(folder / "train.csv")
    table["p_b"] = 1 - table["p_b"]
    table.to_csv(folder / "inverted.csv", index=False)
    few = ["--combiner", "soft", "--draws", "0"]
    assert run("combine", folder / "inverted.csv", "-o", folder / "i.dfe", *few) == 0
    err = capsys.readouterr().err
    assert "say so: --invert p_b; of videos" in err
