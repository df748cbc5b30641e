"""Errors at a terminal: its options, one line, and the traceback for who asks."""

import pandas as pd
import pytest

from ensemble.cli.app import main
from ensemble.cli.comparison_inputs import lists_videos
from ensemble.cli.errors import explain, in_options

COMPARE = {
    "scores": "--scores", "label": "--label", "group": "--group", "folds": "--folds",
    "draws": "--draws", "nesting": "--nesting", "protocol": "--protocol",
    "fake_label": "--fake-label", "time": "--time", "threshold": "--threshold",
    "weights": "--weights", "backbones": "--backbones",
}  # fmt: skip


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return left.value.code, out, err


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("use n_splits=3 or fewer", "use --folds 3 or fewer"),
        ("with nesting='exact' it is", "with --nesting exact it is"),
        ("choose them with scores=, or set label= and group=",
         "choose them with --scores, or set --label and --group"),
        ("another column (group=, --group)", "another column (--group)"),
        ("name it with fake_label= (--fake-label)", "name it with --fake-label"),
        ("label='x' is none of the columns", "--label x is none of the columns"),
        ("n_splits must be >= 2; got 1", "--folds must be >= 2; got 1"),
        ("threshold 'fpr=2' must be", "--threshold 'fpr=2' must be"),
        ("give weights=PATH, or weights=None to train",
         "give --weights PATH, or --weights none to train"),
        ("network (backbone='resnet18')", "network (--backbones resnet18)"),
        ("the table has no labels beside it; give y",
         "the table has no labels beside it; name their column with --label"),
        ("y must hold both classes", "the labels must hold both classes"),
        ("protocol='group-kfold', or name some in hold_out=", "--protocol group-kfold"),
        ("my_scores=3 and cost=10 stay", "my_scores=3 and cost=10 stay"),
        ("rescale them, or set scale, to decide for yourself",
         "rescale them to decide for yourself"),
        ("say so: read_scores(..., label=['a']), or with label=",
         "say so: read_scores(..., label=['a']), or with --label"),
        ("compare_strategies(f(1), nesting='exact') (nesting='exact')",
         "compare_strategies(f(1), nesting='exact') (--nesting exact)"),
        ("video(s) lack a label (label=), which fit(X, y, group= wants",
         "video(s) lack a label (--label), which fit(X, y, group= wants"),
        ("n_frames=3 is no option of this command",
         "n_frames=3 is no option of this command"),
    ],
)  # fmt: skip
def test_errors_speak_of_options(said, expected):
    assert in_options(said, COMPARE) == expected


def test_a_command_without_options_says_what_the_library_says():
    assert in_options("give scope='face'", {}) == "give scope='face'"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("n_splits=9 is too many"), "error: --folds 9 is too many"),
        (FileNotFoundError("nothing at x"), "error: nothing at x"),
        (MemoryError(), "error: not enough memory"),
        (TypeError("f() got an\nodd argument"),
         "internal error (TypeError: f() got an odd argument); run again with --debug"),
        (KeyError("reason"), "internal error (KeyError: 'reason'); run again"),
        (AssertionError(), "internal error (AssertionError); run again"),
    ],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_a_fault_of_the_program_is_not_blamed_on_the_user(error, expected):
    said = explain(error, COMPARE, debug=False)
    assert said.startswith(expected)
    assert "\n" not in said


@pytest.fixture
def broken(monkeypatch):
    def fail(*arguments):
        raise TypeError("unexpected keyword")

    monkeypatch.setattr("ensemble.cli.commands.predict.videos_at", fail)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--debug", "predict", "m.dfe", "a.mp4"],
        ["predict", "m.dfe", "a.mp4", "--debug"],
    ],
    ids=["before", "after"],
)
def test_debug_shows_where_it_came_from(broken, capsys, arguments):
    code, out, err = run(capsys, "predict", "m.dfe", "a.mp4")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("internal error (TypeError: unexpected keyword)")
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "Traceback" in err
    assert "in fail" in err
    assert err.splitlines()[-1] == "internal error (TypeError: unexpected keyword)"


def test_debug_stands_in_the_help(capsys):
    assert "--debug" in run(capsys, "--help")[1]


def test_odd_names_do_not_break_a_usage_error(capsys):
    code, _, err = run(capsys, "predict", "m.dfe", "--nothing[/b]")
    assert code == 2
    assert "nothing[/b]" in err


FRAME = pd.DataFrame(
    {
        "path": ["a.mp4", "b.mp4"],
        "label": ["REAL", "FAKE"],
        "p_a": [0.25, 0.75],
        "n_frames": [300, 250],
        "male": [1, 0],
    }
)


@pytest.mark.parametrize(
    ("columns", "videos"),
    [
        (["path", "label"], True),
        (["path", "label", "n_frames"], True),
        (["path", "label", "p_a"], False),
        (["path", "p_a"], False),
        (["label", "p_a", "male"], False),
    ],
    ids=str,
)
def test_a_table_is_known_by_its_content(columns, videos):
    assert lists_videos(FRAME[columns], "t.csv") is videos
    assert lists_videos(FRAME[columns].astype(str), "t.csv") is videos


@pytest.mark.parametrize(
    "columns",
    [
        ["path", "label", "p_a", "n_frames"],
        ["path", "label", "p_a", "male"],
        ["path", "label", "male"],
        ["path", "n_frames"],
    ],
    ids=str,
)
def test_a_table_that_may_be_either_is_refused_with_a_way_out(columns):
    with pytest.raises(ValueError, match=r"--scores, or say --videos"):
        lists_videos(FRAME[columns], "t.csv")
    assert lists_videos(FRAME[["path", "label", "male"]], "", ["male"])


@pytest.mark.slow
def test_scores_with_a_path_train_nothing(tmp_path, capsys, monkeypatch):
    rows = [
        f"{i}.mp4,{i % 2},{0.3 + 0.4 * (i % 2) + 0.01 * i},{i // 2}" for i in range(24)
    ]
    path = tmp_path / "scores.csv"
    trained = "ensemble.cli.commands.compare.named_detectors"
    path.write_text("\n".join(["path,label,mine,group", *rows]))
    monkeypatch.setattr(trained, lambda *names, **settings: pytest.fail("it trains"))
    few = ["--strategies", "soft", "--draws", "10", "--folds", "3", "-q"]
    code, out, err = run(capsys, "compare", path, *few)
    assert code == 0, err
    assert "mine" in out
    code, _, err = run(capsys, "compare", path, "--videos", "--scores", "mine", *few)
    assert code == 2
    assert "two kinds" in err
    for number in range(24):
        (tmp_path / f"{number}.mp4").write_bytes(b"")
    monkeypatch.setattr(trained, lambda *names, **settings: 1 / 0)
    code, _, err = run(capsys, "compare", path, "--videos", *few)
    assert "ZeroDivisionError" in err


def test_decimal_commas_are_scores_and_a_slip_among_them_is_asked_about():
    frame = pd.DataFrame(
        {"path": ["a.mp4", "b.mp4", "c.mp4"], "label": ["0", "1", "1"]}
    )
    assert not lists_videos(frame.assign(mine=["0,73", "0,2", "0,9"]), "t.csv")
    with pytest.raises(ValueError, match="beside it mine.*--scores"):
        lists_videos(frame.assign(mine=["0.73", "0.2x", "0.9"]), "t.csv")
    assert lists_videos(frame.assign(camera=["one", "two", "3"]), "t.csv")


def test_a_folder_has_no_columns_of_scores(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["compare", str(tmp_path), "--scores", "p_*"])
    assert left.value.code == 2
    assert "is a folder; give the table" in " ".join(capsys.readouterr().err.split())


def test_no_message_steers_the_terminal(tmp_path, capsys):
    (tmp_path / "real\x1b]0;title\x07").mkdir()
    with pytest.raises(SystemExit):
        main(["fit", str(tmp_path), "--out", str(tmp_path / "m.dfe")])
    said = capsys.readouterr().err
    assert "real\\x1b]0;title\\x07/" in said
    assert "\x1b" not in said
