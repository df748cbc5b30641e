import pytest

from ensemble.datasets import load_dataset

REAL, FAKE = "원본영상_{}_메타데이터.csv", "변조영상_{}_메타데이터.csv"


@pytest.fixture(params=["utf-8", "cp949"])
def root(request, plant):
    root = plant(
        "원본/a.mp4", "원본/b.mp4", "변조/dfl/f.mp4", "변조/fsgan/g.mp4", "변조/h.mp4"
    )  # fmt: skip
    tables = {
        REAL.format("training"): "영상ID,성별\na.mp4,남\n",
        REAL.format("validation"): "영상ID,성별\nb.mp4,여\n",
        FAKE.format("training"): "영상ID,타겟영상,변조모델\nf.mp4,a.mp4,dfl\n"
        "g.mp4,a.mp4,fsgan\n",
        FAKE.format("validation"): "영상ID,타겟영상,변조모델\nh,b,audio-driven\n",
    }
    for name, text in tables.items():
        (root / name).write_text(text, encoding=request.param)
    return root


def test_korean_tables_are_read_and_the_group_is_the_target(root):
    table = load_dataset("auto", root)
    assert table.kind == "kodf"
    rows = table.table.set_index("video_id")
    assert rows["label"].to_dict() == {
        "원본/a.mp4": 0, "원본/b.mp4": 0, "변조/dfl/f.mp4": 1, "변조/fsgan/g.mp4": 1,
        "변조/h.mp4": 1,
    }  # fmt: skip
    assert set(rows.query("group == 'kodf/a'").index) == {
        "원본/a.mp4", "변조/dfl/f.mp4", "변조/fsgan/g.mp4",
    }  # fmt: skip
    assert rows.loc["변조/h.mp4", ["method", "split", "group"]].tolist() == [
        "audio-driven",
        "val",
        "kodf/b",
    ]
    assert len(load_dataset("kodf", root, methods="dfl")) == 3


def test_a_person_is_the_group_where_the_tables_name_one(root):
    path = root / REAL.format("training")
    path.write_text("영상ID,인물ID\na.mp4,p7\n")
    table = load_dataset("kodf", root)
    assert sorted(set(table.groups)) == ["kodf/b", "kodf/p7"]


def test_what_is_missing_is_said(root, plant):
    with pytest.raises(ValueError, match=r"looked for 원본영상_training_.*got x"):
        load_dataset("kodf", plant("only/x/a.mp4") / "only")
    (root / "원본/b.mp4").unlink()
    with pytest.raises(ValueError, match=r"names 1 of 5 videos.*b\.mp4"):
        load_dataset("kodf", root)
    (root / FAKE.format("training")).write_text("영상ID,타겟영상\nf,a\n")
    with pytest.raises(ValueError, match="변조모델 missing"):
        load_dataset("kodf", root)


def test_a_table_of_no_rows_is_refused(root):
    (root / FAKE.format("training")).write_text("영상ID,타겟영상,변조모델\n")
    with pytest.raises(ValueError, match=r"변조영상_training_.*csv has no rows"):
        load_dataset("kodf", root)
