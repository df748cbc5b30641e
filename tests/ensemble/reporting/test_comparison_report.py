import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from base_models import FrameDetector, write_video
from ensemble import DeepfakeEnsemble, compare_strategies
from ensemble.reporting.comparison_report import (
    shown_strategies,
    worst_videos,
    write_report,
)
from ensemble.scores import score_table


def scores_of(n=80, strengths=(2.0, 1.2, 0.6), seed=0):
    """P(fake) of members of rising blindness; y, groups, methods."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    table = pd.DataFrame(
        {
            f"member {place}": 1 / (1 + np.exp(rng.normal(-s * (2 * y - 1), 1.5)))
            for place, s in enumerate(strengths)
        }
    )
    methods = np.where(y == 1, np.where(np.arange(n) % 4 == 1, "swap", "morph"), "none")
    return table, y, np.arange(n) // 4, pd.DataFrame({"method": methods})


@pytest.fixture(scope="module")
def comparison():
    table, y, groups, metadata = scores_of()
    return compare_strategies(
        table, y, groups, ["log-odds mean", "stacking", "weighted vote"],
        metadata=metadata, protocol="leave-method-out", nesting="exact", n_boot=60,
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(comparison, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    comparison.to_html(path, "A <report> & more")
    return path.read_text(encoding="utf-8")


class Parts(HTMLParser):
    """Tags with their attributes, and whether each that opens closes in order."""

    empty = {"meta", "link", "img", "br", "path", "use"}  # noqa: RUF012

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in self.empty:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        if tag not in self.empty:
            assert self.open.pop() == tag


def test_a_page_needs_nothing_beside_it(page):
    parts = Parts(page)
    for tag, attributes in parts.tags:
        assert tag not in ("script", "iframe", "object", "base")
        for name in ("src", "href", "xlink:href", "data", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page


def test_a_page_is_well_formed_and_names_its_parts(page):
    parts = Parts(page)
    assert parts.open == []
    assert len(parts.ids) == len(set(parts.ids))
    links = {a["href"][1:] for tag, a in parts.tags if tag == "a"}
    assert links <= set(parts.ids)
    labels = {a.get("aria-labelledby") for tag, a in parts.tags if tag == "svg"}
    for label in labels:
        assert set(label.split()) <= set(parts.ids)
    assert all(a.get("alt") for tag, a in parts.tags if tag == "img")


def test_text_is_escaped(page):
    assert "<title>A &lt;report&gt; &amp; more</title>" in page


def test_the_page_says_what_the_comparison_says(comparison, page):
    for sentence in comparison.verdict.split("\n"):
        assert sentence.replace("'", "&#39;") in page
    for name, row in comparison.table.iterrows():
        assert name in page
        assert f"{row['auc']:.4f}" in page
    for method in ("swap", "morph"):
        assert f'<th scope="row">{method}</th>' in page


@pytest.mark.slow
def test_the_same_comparison_gives_the_same_page(comparison, page, tmp_path):
    again = write_report(comparison, tmp_path / "again.html", "A <report> & more")
    assert again.read_text(encoding="utf-8") == page


def test_the_best_ensemble_is_shown_first_and_its_rivals_beside_it(comparison):
    shown = shown_strategies(comparison)
    ours = comparison.table.loc[["log-odds mean", "stacking", "weighted vote"], "auc"]
    assert shown[0] == ours.idxmax()
    assert {"mean", comparison.how["best member"]} <= set(shown)


def test_the_worst_videos_are_those_furthest_from_their_label(comparison):
    worst = worst_videos(comparison, "mean", 5)
    mean = comparison.members.mean(axis=1)
    off = (comparison.y - mean).abs().sort_values(ascending=False)
    assert worst["row"].tolist() == off.index[:5].tolist()
    assert np.allclose(worst["off"], off.iloc[:5])


@pytest.mark.slow
def test_videos_have_thumbnails_where_they_can_be_read(tmp_path):
    table, y, groups, _ = scores_of(24)
    paths = [str(tmp_path / f"{row}.mp4") for row in range(24)]
    for path in paths[:20]:
        write_video(path, np.full((3, 48, 64, 3), 128, np.uint8))
    named = score_table(
        table.to_numpy(), paths, list(table), label=y.tolist(), group=groups.tolist()
    )
    found = compare_strategies(named, strategies=["soft"], n_folds=3, n_boot=20)
    page = write_report(found, tmp_path / "report.html").read_text(encoding="utf-8")
    images = page.count("data:image/jpeg;base64,")
    assert 0 < images <= 12
    assert str(tmp_path) in page


@pytest.mark.slow
def test_members_without_groups_or_methods_give_a_page_too(tmp_path):
    table, y, _, _ = scores_of(40, strengths=(1.5,))
    found = compare_strategies(table, y, strategies=["soft"], n_folds=2, n_boot=20)
    page = write_report(found, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "none given" in page
    assert 'id="by-value"' not in page


def test_figures_for_programs(comparison):
    found = comparison.to_dict()
    assert found["verdict"] == comparison.verdict
    for row in found["table"]:
        assert row["auc"] == comparison.table.loc[row["strategy"], "auc"]
    assert found["how"]["protocol"] == "leave-method-out"


def test_a_notebook_shows_table_and_verdict(comparison):
    shown = comparison._repr_html_()
    assert comparison.verdict.split("\n")[0] in shown
    best = comparison.table.index[comparison.table["auc"].argmax()]
    assert best in shown
    assert f"{comparison.table['auc'].max():.4f}" in shown


@pytest.fixture(scope="module")
def model(toy_videos):
    videos, y, groups = toy_videos
    detectors = [
        FrameDetector("test_resnet", "frame", "head", None, 32, n_frames=n,
                      n_threads=1, random_state=n)
        for n in (1, 2)
    ]  # fmt: skip
    named = [(f"<resnet> {n}", detector) for n, detector in enumerate(detectors)]
    return DeepfakeEnsemble(named, resampling=3, random_state=0).fit(videos, y, groups)


@pytest.mark.slow
def test_a_fitted_ensemble_reports_on_itself(model, tmp_path):
    found = model.report(tmp_path / "report.html", ["soft"], n_folds=3, n_boot=20)
    assert "this ensemble" in found.table.index
    assert found.how["nesting"] == "stored"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "approximate" in page
    assert "&lt;resnet&gt; 0" in page
    assert found.lead.lower().startswith(("this ensemble", "with so few groups"))
    assert "this ensemble" in found.lead.partition(". ")[0].lower()
    assert shown_strategies(found)[0] == "this ensemble"
    assert '<tr class="strategy first"><th scope="row">this ensemble</th>' in page


@pytest.mark.slow
def test_metadata_of_a_report_goes_by_the_ids_of_the_rows(model, tmp_path):
    ids = model.oof_scores_.index
    metadata = pd.DataFrame({"camera": np.arange(24) // 2 % 2}, ids)
    options = {"strategies": ["soft"], "n_folds": 3, "n_boot": 20}
    expected, found = (
        model.report(tmp_path / "report.html", metadata=rows, **options)
        for rows in (metadata, metadata.sample(frac=1, random_state=0))
    )
    pd.testing.assert_frame_equal(found.by_value, expected.by_value)
    with pytest.raises(ValueError, match="metadata must be of the same videos"):
        model.report(
            tmp_path / "report.html", metadata=metadata.add_prefix("x", axis=0)
        )


@pytest.mark.slow
def test_a_notebook_shows_the_members_of_a_fitted_ensemble(model):
    shown = model._repr_html_()
    assert "Out of fold on 24 videos of 12 groups, 12 fake." in shown
    assert "&lt;resnet&gt; 1" in shown
    assert "<resnet>" not in shown
    assert "Out of fold" not in DeepfakeEnsemble()._repr_html_()


def test_an_ensemble_that_saw_reals_alone_has_no_strategies_to_compare(
    model, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "ensemble.comparison.ensemble_report.labels_of",
        lambda model: (np.zeros(24, int), None),
    )
    with pytest.raises(ValueError, match="fitted on real videos alone"):
        model.report(tmp_path / "report.html")
    assert "AUC" not in model._repr_html_().partition("Out of fold")[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "says"), [("jinja2", "pages need jinja2"), ("matplotlib", "matplotlib")]
)
def test_what_is_missing_is_named_with_the_extra(
    comparison, tmp_path, monkeypatch, missing, says
):
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(ImportError, match=says) as refused:
        comparison.to_html(tmp_path / "report.html")
    assert "deepfake-ensemble[report]" in str(refused.value)


@pytest.mark.slow
def test_one_member_is_not_called_members(tmp_path):
    table, y, groups, _ = scores_of()
    found = compare_strategies(
        table[["member 0"]], y, groups, ["log-odds mean"], nesting="exact", n_boot=20
    )
    found.to_html(tmp_path / "one.html")
    text = (tmp_path / "one.html").read_text("utf-8")
    assert re.search(r"\d (strategies|strategy) and 1 member, tested", text)
