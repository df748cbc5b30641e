"""Properties of files that tell the classes apart, and when nothing is claimed."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ensemble.datasets import VideoTable, leak_hints
from ensemble.datasets.exploring.leak_hints import not_tested


def made(n_groups=60, seed=0, **columns):
    """Groups of a real and a fake each; what is not given is noise."""
    draw = np.random.default_rng(seed)
    y = np.tile([0, 1], n_groups)
    n = len(y)
    frame = pd.DataFrame(
        {
            "path": [f"{row}.mp4" for row in range(n)],
            "label": y,
            "group": [f"g{row // 2}" for row in range(n)],
            "file_size": draw.lognormal(13, 1, n).astype(int),
            "width": draw.choice([640, 1280], n),
            "height": 720,
            "codec": draw.choice(["h264", "vp9"], n),
            "fps": draw.choice([25.0, 30.0], n),
            "brightness": draw.normal(100, 20, n),
        }
    )
    return VideoTable(frame.assign(**{k: f(y, draw) for k, f in columns.items()}))


GUILTY = {
    "file size": {
        "file_size": lambda y, d: np.where(y, 1, 4) * d.lognormal(10, 0.3, len(y))
    },
    "codec": {"codec": lambda y, d: np.where(y, "h264", "mpeg4")},
    "frame rate": {
        "fps": lambda y, d: np.where(y, 25.0, d.choice([24.0, 30.0], len(y)))
    },
    # neither more nor less: between
    "brightness": {
        "brightness": lambda y, d: np.where(
            y, d.normal(100, 5, len(y)), 100 + 40 * d.choice([-1, 1], len(y))
        )
    },
}


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("name", GUILTY)
def test_the_guilty_column_is_named_and_no_other(name):
    hints = leak_hints(made(**GUILTY[name]))
    alone = hints.drop("all of them")
    assert alone.index[alone["is_leak"]].tolist() == [name]
    assert hints.loc["all of them", "is_leak"]
    assert hints.loc[name, "auc"] > 0.9
    assert hints.loc[name, "columns"] == next(iter(GUILTY[name]))


def test_on_noise_nothing_is_claimed():
    assert not leak_hints(made())["is_leak"].any()


@pytest.mark.slow
def test_on_noise_one_claim_in_twenty_is_the_most():
    claims = [leak_hints(made(seed=seed))["is_leak"].any() for seed in range(60)]
    assert sum(claims) <= 7  # of 60 at 5 %, in 98 of 100 runs


def test_the_figure_is_that_of_a_column_that_says_the_class():
    hints = leak_hints(made(codec=GUILTY["codec"]["codec"]))
    table = made(codec=GUILTY["codec"]["codec"]).table
    expected = roc_auc_score(table["label"].astype(int), table["codec"] == "h264")
    assert hints.loc["codec", "auc"] == pytest.approx(expected)


def test_with_few_groups_nothing_is_claimed():
    hints = leak_hints(made(9, codec=GUILTY["codec"]["codec"]))
    assert hints["is_leak"].dtype == "boolean"
    assert hints["is_leak"].isna().all()  # neither a leak nor none
    assert hints["auc"].isna().all()
    assert "9 with reals and 9 with fakes, 10 of each" in hints.loc["codec", "reason"]


def test_what_is_the_same_or_not_known_has_no_figure():
    hints = leak_hints(
        made(
            fps=lambda y, d: 25.0, width=lambda y, d: 1280, seconds=lambda y, d: np.nan
        )
    )  # fmt: skip
    assert (
        hints.loc[["frame rate", "resolution"], "reason"].tolist()
        == ["the same in all videos"] * 2
    )
    assert hints.loc[["quantiser", "length"], "reason"].tolist() == ["not known"] * 2
    assert hints.loc[["frame rate", "quantiser"], "auc"].isna().all()
    assert not hints.loc["frame rate", "is_leak"]  # one value tells nothing apart
    assert pd.isna(hints.loc["quantiser", "is_leak"])
    assert not_tested(hints) == (
        "Properties of the files were tested in part: file size, codec, brightness; "
        "not tested: length (not known), quantiser (not known)"
    )


def test_what_is_missing_may_itself_be_the_leak():
    def where_real(y, draw):
        return np.where(y, np.nan, draw.normal(20, 3, len(y)))

    hints = leak_hints(made(quantiser=where_real))
    assert hints.loc["quantiser", "is_leak"]


def test_groups_are_left_out_whole():
    """A column that knows the group, and not the class, says nothing of new groups."""
    rng = np.random.default_rng(0)
    y = np.repeat(rng.permutation(np.tile([0, 1], 20)), 6)
    frame = pd.DataFrame({"path": [f"{row}" for row in range(len(y))], "label": y})
    frame["group"] = [f"g{row // 6}" for row in range(len(y))]
    frame["codec"] = [f"c{row // 6}" for row in range(len(y))]
    hints = leak_hints(VideoTable(frame))
    assert hints.loc["codec", "auc"] == pytest.approx(0.5, abs=0.05)
    assert not hints.loc["codec", "is_leak"]


def test_what_was_tested_is_said():
    full = made(quantiser=lambda y, d: y * 0 + 20, seconds=lambda y, d: y * 0 + 1)
    assert not_tested(leak_hints(full)) == ""
    assert not_tested(leak_hints(made(9))) == (
        "Properties of the files were not tested: too few groups: 9 with reals and 9 "
        "with fakes, 10 of each are needed"
    )
