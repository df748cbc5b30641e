import unicodedata
import zipfile
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from base_models import ScoreTableError
from ensemble.datasets import read_videos
from ensemble.scores import companions, read_scores
from ensemble.scores.columns import check_not_labels, pool_table
from ensemble.scores.formats import column_named, read_table, to_numbers
from ensemble.scores.times import parse_times


def written(folder, text, encoding="utf-8", name="table.csv"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_a_table_is_the_same_in_every_dialect(delimiter, encoding, tmp_path):
    lines = ["video,source,method", "é.mp4,096,NA", '"a, b; c.mp4",007,None', ",nan, x"]
    quoted = lines[2].replace(",007,None", f"{delimiter}007{delimiter}None")
    text = "\r\n".join(
        [line.replace(",", delimiter) for line in lines[:2]]
        + [quoted, lines[3].replace(",", delimiter)]
    )
    table = read_table(written(tmp_path, text, encoding))
    assert table.frame.to_dict("list") == {
        "video": ["é.mp4", "a, b; c.mp4", ""],
        "source": ["096", "007", "nan"],
        "method": ["NA", "None", " x"],
    }
    assert list(table.lines) == [2, 3, 4]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_signs_whose_second_byte_is_zero_are_read(encoding, tmp_path):
    text = "path,label\n一一一.mp4,0\n一丁.mp4,1\n"
    assert read_table(written(tmp_path, text, encoding)).frame.to_dict("list") == {
        "path": ["一一一.mp4", "一丁.mp4"],
        "label": ["0", "1"],
    }


@pytest.mark.parametrize("row", ["\0b.mp4,1\n", "b.mp4,1\0\n", "b\0\0\0.mp4,\n" * 3])
def test_a_text_with_bytes_of_zero_is_damaged(row, tmp_path):
    path = written(tmp_path, f"path,label\na.mp4,0\n{row}")
    with pytest.raises(ScoreTableError, match=r"line 3: holds bytes of zero"):
        read_table(path)


def test_a_column_may_be_named_beside_one_in_other_case(tmp_path):
    text = "video,label,Label,a\nx,0,1,.1\ny,1,0,.9\n"
    path = written(tmp_path, text)
    with pytest.raises(ScoreTableError, match="may both be 'label'; rename one"):
        read_scores(path)
    scores = read_scores(path, label="Label", scores="a")
    assert companions(scores)["label"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path,label,group\na.mp4,0,김철수\nb.mp4,1,이영희\n", "cp949"),
        ("path,label,group\na.mp4,0,Jürgen\nb.mp4,1,Björn\n", "cp1252"),
    ],
)
def test_an_encoding_of_windows_is_found_and_named(text, encoding, tmp_path):
    path = written(tmp_path, text, encoding)
    with pytest.warns(UserWarning, match=f"is not UTF-8; it is read as {encoding}"):
        found = read_table(path)
    expected = read_table(written(tmp_path, text, "utf-8", "other.csv"))
    pd.testing.assert_frame_equal(found.frame, expected.frame)


def test_an_encoding_in_doubt_is_asked_for_unless_files_decide(tmp_path):
    text = "path,label\n田中.mp4,0\n山田.mp4,1\n"
    path = written(tmp_path, text, "cp932")
    with pytest.raises(ValueError, match=r"may be cp949: .*cp932: '田中.mp4'.*--enc"):
        read_videos(path)
    expected = [str(tmp_path / name) for name in ("田中.mp4", "山田.mp4")]
    assert read_videos(path, encoding="cp932").videos == expected
    (tmp_path / "山田.mp4").touch()
    with pytest.warns(UserWarning, match="read as cp932"):
        assert read_videos(path).videos == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n\n3\n", r"line 4: expected 2 fields.*comma.*got 1"),
        ("a;b\n1;2\n3;4;5\n", "line 3: expected 2 fields.*semicolon"),
        ('a,b\n1,"2\n3,4\n', "quotation mark"),
        ("a;b,c\n1;2,3\n", "line 1: 'a;b,c' may be separated by a comma or semicolon"),
        ("a,b,a \n1,2,3\n", r"\['a'\] repeatedly"),
        ("", "an empty file"),
    ],
)
def test_a_broken_table_names_its_file_and_line(text, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        read_table(written(tmp_path, text))
    assert "table.csv" in str(error.value)


def test_the_line_that_excel_understands_says_the_delimiter(tmp_path):
    table = read_table(written(tmp_path, "sep=;\na;b,c\n1;2\n"))
    assert table.frame.to_dict("list") == {"a": ["1"], "b,c": ["2"]}
    assert list(table.lines) == [3]


def test_excel_and_parquet_keep_text(tmp_path):
    frame = pd.DataFrame({"path": ["a.mp4", "b.mp4"], "source": ["096", "NA"]})
    frame.to_excel(tmp_path / "t.XLSX", index=False, engine="openpyxl")
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.XLSX", "t.parquet"):
        found = read_table(tmp_path / name).frame
        assert found.astype(object).to_dict("list") == frame.to_dict("list")


@pytest.mark.parametrize("index", ["video", None])
def test_an_index_of_a_parquet_names_its_videos(index, tmp_path):
    scores = {"p_a": [0.9, 0.1], "p_b": [0.8, 0.2]}
    frame = pd.DataFrame(scores, index=pd.Index([1, 0], name=index))
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_scores(tmp_path / "t.parquet")
    assert table["p_a"].to_dict() == {"1": 0.9, "0": 0.1}
    assert list(table) == ["p_a", "p_b"]


def test_all_levels_of_an_index_are_columns(tmp_path):
    index = pd.MultiIndex.from_tuples([("x", 1, "g"), ("y", 0, "h")],
                                      names=["video", "label", "group"])  # fmt: skip
    pd.DataFrame({"p_a": [0.9, 0.1]}, index).to_parquet(tmp_path / "t.parquet")
    found = companions(read_scores(tmp_path / "t.parquet"))
    assert found["label"].to_dict() == {"x": 1, "y": 0}
    assert found["group"].to_dict() == {"x": "g", "y": "h"}


def test_rows_of_a_parquet_that_are_counted_have_no_column_of_it(tmp_path):
    pd.DataFrame({"p_a": [0.9, 0.1]}).to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet").frame) == ["p_a"]
    table = read_scores(tmp_path / "t.parquet")
    assert table["p_a"].to_dict() == {"0": 0.9, "1": 0.1}


def test_a_column_that_is_there_twice_is_refused_in_every_format(tmp_path):
    rows = [["video", "p_a", "p_b", " p_a"], ["x", 0.99, 0.99, 0.01]]
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    frame.columns = ["video", "p_a", "p_b", "p_a"]
    frame.to_csv(tmp_path / "t.csv", index=False)
    pd.DataFrame(rows).to_excel(tmp_path / "t.xlsx", index=False, header=False)
    named_alike = pd.DataFrame({"video": ["x"]}, index=pd.Index(["y"], name="video"))
    named_alike.to_parquet(tmp_path / "t.parquet")
    for name, twice in (("csv", "p_a"), ("xlsx", "p_a"), ("parquet", "video")):
        with pytest.raises(ScoreTableError, match=rf"t\.{name}: .*'{twice}'.*repeated"):
            read_scores(tmp_path / f"t.{name}")


@pytest.mark.parametrize("kind", ["text", "bytes", "list"])
def test_a_text_that_no_table_of_videos_has_is_refused(kind, tmp_path):
    text = "x" * (2**20 + 1)
    cell = {"text": text, "bytes": text.encode(), "list": [text]}[kind]
    frame = pd.DataFrame({"video": ["a", "b"], "p_a": [0.9, 0.1], "note": [None, cell]})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ScoreTableError, match=r"a text of 1,048,577 bytes in .*'note"):
        read_table(tmp_path / "t.parquet")
    (tmp_path / "parts").mkdir()
    frame.to_parquet(tmp_path / "parts" / "0.parquet")
    with pytest.raises(ScoreTableError, match="a text of 1,048,577 bytes"):
        read_table((tmp_path / "parts").rename(tmp_path / "parts.parquet"))


def test_dates_of_a_sheet_are_text(tmp_path):
    days = [datetime(2020, 1, 1), datetime(2020, 1, 2)]
    frame = pd.DataFrame({"video": ["a", "b"], "p_a": [0.9, 0.1], "group": days})
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    groups = companions(read_scores(tmp_path / "t.xlsx"))["group"]
    assert groups.tolist() == ["2020-01-01 00:00:00", "2020-01-02 00:00:00"]


def test_what_is_beside_a_sheets_table_is_passed_over_if_it_is_empty(tmp_path):
    rows = [["video", "", "p_a", ""], ["x", "", 0.5, ""]]
    pd.DataFrame(rows).to_excel(tmp_path / "t.xlsx", index=False, header=False)
    assert list(read_table(tmp_path / "t.xlsx").frame) == ["video", "p_a"]
    rows[1][1] = rows[1][3] = "?"
    pd.DataFrame(rows).to_excel(tmp_path / "t.xlsx", index=False, header=False)
    with pytest.raises(ScoreTableError, match="names every column once"):
        read_table(tmp_path / "t.xlsx")


def test_only_the_first_sheet_is_read_and_the_reader_is_told(tmp_path):
    with pd.ExcelWriter(tmp_path / "t.xlsx", engine="openpyxl") as book:
        pd.DataFrame({"a": [1]}).to_excel(book, sheet_name="one", index=False)
        pd.DataFrame({"b": [2]}).to_excel(book, sheet_name="two", index=False)
    with pytest.warns(UserWarning, match="2 sheets; the first, 'one'"):
        assert list(read_table(tmp_path / "t.xlsx").frame) == ["a"]


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["0,5", "1", ""], [0.5, 1, np.nan]),
        (["0.1", " 1e-3 ", "N/a"], [0.1, 0.001, np.nan]),
        (["-3,25", "4,5e1"], [-3.25, 45]),
    ],
)
def test_numbers_are_read_with_points_and_with_commas(texts, numbers):
    got, wrong = to_numbers(pd.Series(texts))
    np.testing.assert_array_equal(got, numbers)
    assert not wrong.size


@pytest.mark.parametrize(
    ("texts", "wrong"),
    [
        (["0.5", "0,5"], [1]),
        (["1,234", "12,345"], [0, 1]),
        (["1_0", "0.5", "n/a"], [0]),
        (["1_0,5", "0,5"], [0, 1]),
    ],
)
def test_what_may_mean_two_things_is_no_number(texts, wrong):
    assert to_numbers(pd.Series(texts))[1].tolist() == wrong


def test_a_column_is_found_in_other_case_where_there_is_one():
    assert column_named(["Path", "LABEL"], "label") == "LABEL"
    assert column_named(["label", "LABEL"], "label") == "label"
    with pytest.raises(ValueError, match="'label' and 'LABEL' may both be 'label'"):
        column_named(["label", "LABEL"], "label", alone=True)
    assert column_named(["path"], "label") is None
    with pytest.raises(ValueError, match="'Label' and 'LABEL' may both be 'label'"):
        column_named(["Label", "LABEL"], "label")


def test_labels_of_a_table_are_words_numbers_or_booleans(tmp_path):
    for texts, labels in [
        (("0", "1"), [0, 1]),
        (("1.0", "0.0"), [1, 0]),
        (("True", "FALSE"), [True, False]),
        ((" REAL", "FAKE "), ["REAL", "FAKE"]),
        (("3", "7"), ["3", "7"]),
    ]:
        text = f"Path;Label\na.mp4;{texts[0]}\nb.mp4;{texts[1]}\n"
        assert read_videos(written(tmp_path, text)).labels == labels


def test_a_path_with_a_mistake_around_it_is_the_file_that_is_there(tmp_path):
    there = tmp_path / unicodedata.normalize("NFD", "é.mp4")
    there.touch()
    (tmp_path / " odd .mp4 ").touch()
    text = "path,label\n é.mp4,0\n odd .mp4 ,1\n b.mp4,1\n"
    videos = read_videos(written(tmp_path, text)).videos
    assert videos == [
        str(there), str(tmp_path / " odd .mp4 "), str(tmp_path / "b.mp4")
    ]  # fmt: skip


def test_groups_of_a_table_are_cleaned_at_the_door(tmp_path):
    text = "path,label,group\na.mp4,0, 3\nb.mp4,1,3\nc.mp4,1,07\n"
    with pytest.warns(UserWarning, match="taken for one: ' 3' and '3'"):
        assert read_videos(written(tmp_path, text)).groups == ["3", "3", "07"]


def test_missing_labels_and_groups_are_named_by_line(tmp_path):
    text = "path,label,group\na.mp4,0,x\nb.mp4, ,x\nc.mp4,1,\nd.mp4,,y\n"
    with pytest.raises(ValueError, match="line 3, 5: path and label must be given"):
        read_videos(written(tmp_path, text))
    text = "path,label,group\na.mp4,0,x\nb.mp4,1,\n"
    with pytest.raises(ValueError, match=r"1 of 2 videos have no group \(line 3\)"):
        read_videos(written(tmp_path, text))


def test_scores_come_from_tables_with_commas_and_labels_in_other_case(tmp_path):
    text = "Video;LABEL;Group;p_one\na;REAL;096;0,25\nb; FAKE;97;NA\n"
    table = read_scores(written(tmp_path, text))
    assert table.columns.tolist() == ["p_one"]
    np.testing.assert_array_equal(table["p_one"], [0.25, np.nan])
    assert companions(table).label.tolist() == ["REAL", "FAKE"]
    assert companions(table).group.tolist() == ["096", "97"]


@pytest.mark.parametrize(
    "copy",
    [lambda y: y, lambda y: 1 - y, lambda y: np.where(y, "FAKE", "REAL")],
    ids=["same", "inverse", "words"],
)
@pytest.mark.parametrize("label", ["label", "words"])
def test_a_copy_of_the_label_is_no_detector(copy, label, tmp_path):
    y = np.arange(12) % 2
    frame = pd.DataFrame({"video": range(12), "a": np.linspace(0.1, 0.9, 12)})
    frame["label"] = y if label == "label" else np.where(y, "FAKE", "REAL")
    frame["truth_col"] = copy(y)
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"column 'truth_col' is .*scores="):
        read_scores(tmp_path / "t.csv")
    assert read_scores(tmp_path / "t.csv", scores=["a"]).shape == (12, 1)


def test_a_column_called_like_a_label_is_no_detector_without_labels_either():
    frame = pd.DataFrame({"a": [0.2, 0.4, 0.9], "is_fake": [0, 1, 1]})
    with pytest.raises(ValueError, match="'is_fake' looks like the label"):
        read_scores(frame)


@pytest.mark.filterwarnings("error")
def test_a_hard_vote_that_errs_is_a_detector():
    y = np.arange(12) % 2
    vote = y.copy()
    vote[3] = 0
    frame = pd.DataFrame({"vote": vote, "label": y})
    assert read_scores(frame).columns.tolist() == ["vote"]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_detector_is_kept_and_named(sign):
    y = np.arange(24) % 2
    perfect = 0.5 + sign * (y - 0.5) * np.linspace(0.2, 0.9, 24)
    frame = pd.DataFrame({"a": np.linspace(0, 1, 24), "b": perfect, "label": y})
    with pytest.warns(UserWarning, match=r"scores in 'b' separate .*without one"):
        assert read_scores(frame).columns.tolist() == ["a", "b"]
    with pytest.warns(UserWarning, match="separate"):
        check_not_labels(perfect[:, None], ["b"], y, by_default=False)


def test_columns_that_are_no_scores_by_name_are_left_out_and_listed(tmp_path):
    text = "video,a,n_frames,method,source\nx,0.5,32,NA,096\ny,0.25,32,,097\n"
    with pytest.warns(UserWarning, match="'n_frames', 'method', 'source'"):
        assert read_scores(written(tmp_path, text)).columns.tolist() == ["a"]


@pytest.mark.parametrize("name", ["label", "group"])
def test_a_column_that_was_asked_for_is_not_empty(name, tmp_path):
    path = written(tmp_path, "video,a,mine\nx,0.5,\ny,0.25, \n")
    with pytest.raises(ValueError, match=f"'mine' is empty: no video has a {name}"):
        read_scores(path, scores=["a"], **{name: "mine"})


def test_an_index_that_pandas_wrote_names_the_rows(tmp_path):
    frame = pd.DataFrame({"a": [0.5, 0.25]}, index=["x", "y"])
    frame.to_csv(tmp_path / "t.csv")
    assert read_scores(tmp_path / "t.csv").index.tolist() == ["x", "y"]


def test_frames_are_pooled_by_video_and_never_numbered(tmp_path):
    text = (
        "video,frame,label,group,p_a\nx,0,0,g,0.25\ny,0,1,h,0.5\nx,1,0,g,0.75\n"
        "y,1,1,h,NA\n"
    )
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=r"pooled by read_scores\(..., pool='mean'\)"):
        read_scores(path, scores="p_*")
    table = read_scores(path, scores="p_*", pool="mean")
    assert table["p_a"].to_dict() == {"x": 0.5, "y": 0.5}
    assert companions(table).label.tolist() == [0, 1]


def test_a_video_whose_frames_disagree_on_the_label_is_refused():
    frame = pd.DataFrame({"video": ["x", "x"], "label": [0, 1], "a": [0.1, 0.2]})
    with pytest.raises(ValueError, match="video 'x' has several entries in .*'label'"):
        pool_table(frame)


@pytest.mark.parametrize(
    ("texts", "days"),
    [
        (["2019-10-08", "2019-10-09"], ["2019-10-08", "2019-10-09"]),
        (["2019/10/08", "2019/10/9"], ["2019-10-08", "2019-10-09"]),
        (["25/10/2019", "10/08/2019"], ["2019-10-25", "2019-08-10"]),
        (["10/25/2019", "10/08/2019"], ["2019-10-25", "2019-10-08"]),
        (["8.10.2019", "09.10.2019"], ["2019-10-08", "2019-10-09"]),
        (["8 Oct 2019", "October 9, 2019"], ["2019-10-08", "2019-10-09"]),
        (["03/03/2019", "04/04/2019"], ["2019-03-03", "2019-04-04"]),
    ],
)
def test_dates_that_mean_one_day_are_read(texts, days):
    found = parse_times(pd.Series(texts))
    assert found.dt.strftime("%Y-%m-%d").tolist() == days


def test_times_with_zones_are_compared_in_one():
    found = parse_times(pd.Series(["2019-10-08T12:00:00+09:00", "2019-10-08T04:00Z"]))
    assert found.dt.hour.tolist() == [3, 4]
    with pytest.raises(ValueError, match="row 1.*has none; give all or none"):
        parse_times(pd.Series(["2019-10-08T12:00:00+09:00", "2019-10-08T04:00"]))


def test_numbers_are_times_too():
    assert parse_times(pd.Series(["2018", "2019.5"])).tolist() == [2018, 2019.5]
    assert parse_times(pd.Series([3, 1])).tolist() == [3, 1]


def test_a_row_far_below_what_a_sheet_can_have_is_refused_at_once(tmp_path):
    pd.DataFrame({"p_a": [0.5]}).to_excel(tmp_path / "whole.xlsx")
    forged, sheet = tmp_path / "forged.xlsx", "xl/worksheets/sheet1.xml"
    with (
        zipfile.ZipFile(tmp_path / "whole.xlsx") as whole,
        zipfile.ZipFile(forged, "w") as archive,
    ):
        for name in whole.namelist():
            content = whole.read(name)
            if name == sheet:  # openpyxl makes up each row before it
                content = content.replace(b'<row r="2"', b'<row r="99999999999"')
                assert content != whole.read(name)
            archive.writestr(name, content)
    with pytest.raises(
        ScoreTableError, match=r"forged\.xlsx has a cell below row 1,04"
    ):
        read_table(forged)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["10/08/2019"], "may be 10 August or 8 October.*2019-10-08.*--time-format"),
        (["10/08/19", "11/08/19"], "one way"),
        (["25/10/2019", "10/26/2019"], r"'25/10/2019' \(row 0\) and .*\(row 1\)"),
        (["2019-10-08", "soon"], "'2019-10-08' and 'soon'"),
        (["2019-10-08", ""], "1 of 2 have none, the first at row 1"),
        (["2019-13-08"], "cannot be read"),
    ],
)
def test_dates_in_doubt_are_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        parse_times(pd.Series(texts))


def test_a_format_settles_what_a_date_means():
    found = parse_times(pd.Series(["10/08/19"]), "%d/%m/%y")
    assert found.dt.month.tolist() == [8]
    with pytest.raises(ValueError, match="does not fit '%d/%m/%y'"):
        parse_times(pd.Series(["2019-10-08"]), "%d/%m/%y")
