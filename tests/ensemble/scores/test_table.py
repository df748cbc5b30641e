import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from ensemble.scores import (
    companions,
    concat_scores,
    read_scores,
    reasons,
    score_table,
    write_scores,
)

DETECTORS = ["xception_frame", "resnet_face"]


def make_table(n=4, **beside):
    scores = np.random.default_rng(0).random((n, 2))
    scores[1, 1] = np.nan
    ids = [f"clips/{i:03d}.mp4" for i in range(n)]
    given = {
        "label": ["REAL", "FAKE"] * (n // 2),
        "group": np.arange(n) // 2,
        "fold": np.arange(n) % 2,
        "reasons": {"resnet_face": {ids[1]: 'no face in "001", sorry'}},
        "provenance": {"fitted": {"folds": 5}},
        **beside,
    }
    return score_table(scores, ids, DETECTORS, **given)


def assert_same(got, expected):
    pd.testing.assert_frame_equal(got, expected)
    pd.testing.assert_frame_equal(companions(got), companions(expected))
    pd.testing.assert_frame_equal(reasons(got), reasons(expected))


def test_the_table_holds_scores_and_nothing_else():
    table = make_table()
    assert table.columns.tolist() == DETECTORS
    assert {dtype.kind for dtype in table.dtypes} == {"f"}
    assert companions(table).columns.tolist() == ["label", "group", "fold"]
    assert companions(table).group.tolist() == [0, 0, 1, 1]
    json.dumps(table.attrs)


@pytest.mark.parametrize(
    "pick",
    [
        lambda t: t.iloc[[2, 0]],
        lambda t: t.loc[["clips/003.mp4"]],
        lambda t: t[t["xception_frame"] > 0.3],
        lambda t: t.sort_values("xception_frame"),
        lambda t: t.dropna(),
        lambda t: t.sample(frac=1, random_state=0),
        lambda t: pd.concat([t.iloc[2:], t.iloc[:2]]),
        lambda t: t[["resnet_face"]],
        lambda t: t.copy(),
        lambda t: copy.deepcopy(t),
        lambda t: pickle.loads(pickle.dumps(t)),
    ],
)
def test_companions_follow_the_rows(pick):
    table = make_table()
    whole = companions(table)
    picked = pick(table)
    pd.testing.assert_frame_equal(
        companions(picked), whole.loc[picked.index], check_dtype=False
    )


def test_reasons_follow_rows_and_detectors():
    table = make_table()
    assert reasons(table).values.tolist() == [
        ["clips/001.mp4", "resnet_face", 'no face in "001", sorry']
    ]
    assert reasons(table.iloc[[0]]).empty
    assert reasons(table[["xception_frame"]]).empty


def test_reasons_may_come_laid_out_as_the_scores():
    texts = [[None, None], ["", "too short"], [None, None], [None, None]]
    table = make_table(reasons=texts)
    assert reasons(table).values.tolist() == [
        ["clips/001.mp4", "resnet_face", "too short"]
    ]


def test_companions_cannot_be_changed_by_accident():
    table = make_table()
    with pytest.raises(TypeError, match="read-only"):
        table.attrs["label"]["clips/000.mp4"] = "FAKE"


def test_companions_without_ids_are_refused():
    table = make_table().reset_index(drop=True)
    with pytest.raises(ValueError, match="no row of the table has a label"):
        companions(table)


def test_missing_companions_are_none():
    table = score_table([[0.5], [0.6]], ["a", "b"], ["d_frame"], label=[1, None])
    assert companions(table).label.tolist() == [1, None]
    assert companions(table).group.tolist() == [None, None]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_written_table_reads_back_the_same(tmp_path, suffix):
    table = make_table()
    path = tmp_path / f"scores.{suffix}"
    write_scores(table, path)
    got = read_scores(path)
    assert_same(got, table)
    if suffix == "parquet":
        assert got.attrs["provenance"] == {"fitted": {"folds": 5}}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), n=st.integers(1, 6))
def test_csv_keeps_every_bit_and_type(tmp_path_factory, data, n):
    score = st.one_of(st.floats(0, 1), st.just(np.nan))
    scores = data.draw(st.lists(st.tuples(score, score), min_size=n, max_size=n))
    if np.isnan(scores).all(axis=0).any():
        return
    text = st.text(
        st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1
    )
    ids = data.draw(st.lists(text, min_size=n, max_size=n, unique=True))
    ids = [f"{name}/{i}" for i, name in enumerate(ids)]
    group = data.draw(
        st.one_of(
            st.lists(st.integers(-9, 9), min_size=n, max_size=n),
            st.lists(
                st.sampled_from(["007", "a,b", 'say "x"']), min_size=n, max_size=n
            ),
            st.lists(st.booleans(), min_size=n, max_size=n),
        )
    )
    table = score_table(scores, ids, DETECTORS, group=group)
    path = tmp_path_factory.mktemp("csv") / "scores.csv"
    write_scores(table, path)
    got = read_scores(path)
    pd.testing.assert_frame_equal(got, table, check_exact=True)
    assert companions(got).group.tolist() == companions(table).group.tolist()


def test_parquet_of_pandas_itself_keeps_companions(tmp_path):
    table = make_table()
    table.to_parquet(tmp_path / "t.parquet")
    got = pd.read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(companions(got), companions(table))


def test_foreign_files_are_read_by_pattern_and_names(tmp_path):
    path = tmp_path / "foreign.csv"
    path.write_text("clip,who,truth,p_a,p_b,extra\n010,x,1,0.5,,z\n011,y,0,0.25,1,z\n")
    table = read_scores(
        path, scores="p_*", label="truth", group="who", index="clip", out_of_fold=True
    )
    assert table.index.tolist() == ["010", "011"]
    np.testing.assert_array_equal(table, [[0.5, np.nan], [0.25, 1.0]])
    assert companions(table).label.tolist() == [1, 0]
    assert companions(table).group.tolist() == ["x", "y"]
    assert table.attrs["provenance"] == {"out_of_fold": True}
    by_name = read_scores(path, scores=["p_b", "p_a"], index="clip")
    assert by_name.columns.tolist() == ["p_b", "p_a"]


def test_without_an_id_column_rows_are_numbered(tmp_path):
    path = tmp_path / "bare.csv"
    path.write_text("a,b\n0.1,0.2\n0.3,0.4\n")
    assert read_scores(path).index.tolist() == ["0", "1"]


def test_a_frame_with_ids_as_index_is_read():
    frame = pd.DataFrame({"a": [0.1, 0.2], "label": ["REAL", "FAKE"]}, index=["x", "y"])
    table = read_scores(frame)
    assert table.columns.tolist() == ["a"]
    assert companions(table).loc["y", "label"] == "FAKE"


def test_reading_a_table_again_changes_nothing():
    table = make_table()
    assert_same(read_scores(table.iloc[[3, 1]]), table.iloc[[3, 1]])


def test_one_video_under_two_names_with_two_labels_is_told(tmp_path):
    path = tmp_path / "scores.csv"
    rows = ["a.mp4,.1234,.5678,1", "b.mp4,.5,.25,0", "c.mp4,.5,.25,1"]
    path.write_text("\n".join(["video,p,q,label", *rows]))
    read_scores(path)  # few digits, which may be chance
    path.write_text("\n".join(["video,p,q,label", *rows, "A.mp4 ,.1234,.5678,0"]))
    with pytest.warns(UserWarning, match="2 rows have .* 'a.mp4' and 'A.mp4 '"):
        read_scores(path)
    path.write_text("\n".join(["video,p,q,label", *rows, "A.mp4 ,.1234,.5678,1"]))
    read_scores(path)


@pytest.mark.parametrize(
    ("text", "kwargs", "message"),
    [
        ("video,a\nx,0.5\ny,1.5\n", {}, "1.5 for 'y' in column 'a'"),
        ("video,a\nx,-0.1\n", {}, "-0.1 for 'x' in column 'a'"),
        ("video,a\nx,inf\n", {"probabilities": False}, "finite.*inf for 'x'"),
        ("video,a\nx,0.5\ny,high\n", {}, "'a' is not numeric: 'high' for 'y'"),
        ("video,a\nx,0.5\nx,0.6\n", {}, "unique; 'x' occurs 2 times"),
        ("video,a\nd/x,.5\n./d//x,.6\n", {}, "'d/x' and './d//x' are one path"),
        ("video,a\nd/x,.5\nd/y/../x,.6\n", {}, "written in two ways"),
        ("video,a\n,0.5\n", {}, "row 0 has none"),
        ("video,a\nx,\ny,\n", {}, "no score at all in 'a'"),
        ("video,a,a\nx,0.5,0.5\n", {}, r"\['a'\] repeatedly"),
        ("video,a\nx,0.5,0.6\n", {}, "expected 2 fields in every line"),
        ("", {}, "an empty file"),
        ("video,a\n", {}, "without rows"),
        ("video,label\nx,1\n", {}, "no detector column found"),
        ("video,p_a\nx,0.5\n", {"scores": "q_*"}, r"scores='q_\*' among"),
        ("video,p_a\nx,0.5\n", {"scores": ["p_b"]}, "did you mean 'p_a'"),
        ("video,a,lable\nx,0.5,1\n", {"label": "label"}, "did you mean 'lable'"),
        ("video,a,reason\nx,0.5,none\n", {}, "must be a JSON object"),
        ("video,a,fold\nx,0.5,1\n", {"scores": ["fold"]}, "cannot be called 'fold'"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, kwargs, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_scores(path, **kwargs)


def test_a_detector_without_scores_is_warned_of(tmp_path):
    path = tmp_path / "one.csv"
    path.write_text("video,a,b\nx,0.5,\ny,0.6,\n")
    with pytest.warns(UserWarning, match="no video has a score in 'b'"):
        assert read_scores(path)["b"].isna().all()


def test_other_numbers_are_read_on_request(tmp_path):
    path = tmp_path / "logits.csv"
    path.write_text("video,a\nx,-3.5\ny,7\n")
    assert read_scores(path, probabilities=False)["a"].tolist() == [-3.5, 7.0]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"index": ["a", "a"]}, "unique"),
        ({"index": ["a"]}, r"shape \(1, 2\)"),
        ({"columns": ["d", "d"]}, r"\['d'\] repeatedly"),
        ({"columns": ["d", "label"]}, "cannot be called 'label'"),
        ({"columns": ["d", 3]}, "named by text.*3"),
        ({"label": [1]}, "label must have one entry per video; got 1 for 2"),
        ({"reasons": {"e": {}}}, "detector 'e'"),
        ({"reasons": {"d": {"z": "?"}}}, "video 'z'"),
        ({"scores": [[0.1, 2.0], [0.1, 0.2]]}, "2.0 for 'a' in column 'e'"),
    ],
)
def test_bad_tables_are_refused(kwargs, message):
    kwargs = {"reasons": None, **kwargs}
    if kwargs["reasons"] == {"e": {}}:
        kwargs["columns"] = ["d", "f"]
    whole = {
        "scores": [[0.1, 0.2], [0.3, 0.4]],
        "index": ["a", "b"],
        "columns": ["d", "e"],
        **kwargs,
    }
    with pytest.raises(ValueError, match=message):
        score_table(**whole)


def test_companions_that_json_cannot_hold_are_refused():
    with pytest.raises(TypeError, match="group must hold numbers, strings"):
        score_table([[0.5]], ["a"], ["d"], group=[("x", 1)])
    with pytest.raises(TypeError, match="provenance must hold"):
        score_table([[0.5]], ["a"], ["d"], provenance={"model": object()})


def test_tables_are_stacked_with_their_companions():
    first = score_table([[0.1]], ["a"], ["d"], label=[0], provenance={"k": 1, "m": 2})
    second = score_table(
        [[np.nan]], ["b"], ["d"], label=[1], reasons={"d": {"b": "dark"}}
    )
    both = concat_scores([first, second])
    assert companions(both).label.tolist() == [0, 1]
    assert reasons(both).reason.tolist() == ["dark"]
    assert both.attrs["provenance"] == {}


def test_tables_are_set_side_by_side_on_the_rows_of_the_first():
    first = score_table([[0.1], [0.2]], ["a", "b"], ["d"], label=[0, 1])
    second = score_table([[0.3], [0.4]], ["b", "a"], ["e"], group=["x", "y"])
    both = concat_scores([first, second], axis=1)
    np.testing.assert_array_equal(both, [[0.1, 0.4], [0.2, 0.3]])
    assert companions(both).group.tolist() == ["y", "x"]
    with pytest.raises(ValueError, match="must have the same rows"):
        concat_scores([first, second.iloc[:1]], axis=1)


def test_tables_that_disagree_are_refused():
    first = score_table([[0.1]], ["a"], ["d"], label=[0])
    second = score_table([[0.3]], ["a"], ["e"], label=[1])
    with pytest.raises(ValueError, match="disagree on the label of 'a': 0 and 1"):
        concat_scores([first, second], axis=1)


def test_slicing_a_large_table_does_not_copy_its_companions():
    n = 50_000
    table = score_table(
        np.full((n, 1), 0.5), map(str, range(n)), ["d"], label=np.zeros(n, int)
    )
    assert table.iloc[:2].attrs["label"] is table.attrs["label"]


def test_the_public_set_is_read(shared):
    path = shared / "data" / "scores" / "ffpp_4detectors.csv"
    table = read_scores(path, scores="p_*")
    assert table.shape == (1200, 4)
    raw = pd.read_csv(path)
    np.testing.assert_allclose(table, raw.filter(like="p_"), rtol=1e-12)
    assert companions(table).label.tolist() == raw.label.tolist()
    assert companions(table).group.nunique() == 182
