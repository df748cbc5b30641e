"""The report as a reader sees it."""

import numpy as np
import pandas as pd
import pytest

from ensemble import compare_strategies


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    table = pd.DataFrame(
        {
            f"member_{place}": 1 / (1 + np.exp(rng.normal(-s * (2 * y - 1), 1.5)))
            for place, s in enumerate((2.0, 1.2, 0.6))
        }
    )
    methods = np.where(y == 0, "none", np.where(np.arange(120) % 4 == 1, "a", "b"))
    metadata, groups = pd.DataFrame({"method": methods}), np.arange(120) // 4
    found = compare_strategies(
        table, y, groups, ["log-odds mean", "stacking", "weighted vote"],
        metadata=metadata, n_boot=60,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("report") / "report.html"
    found.to_html(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_it_opens_without_complaint_request_or_overflow(report, open_page, width):
    opened = open_page(report, width)
    assert opened.complaints == []
    assert opened.requests == []
    assert opened.overflow() <= 0
    plots = opened.page.locator("svg[role=img]")
    assert plots.count() >= 8
    for box in plots.evaluate_all("all => all.map(s => s.getBoundingClientRect())"):
        assert box["width"] > 200
        assert box["height"] > 100


@pytest.mark.slow
def test_no_label_of_a_plot_covers_another(report, open_page):
    page = open_page(report).page
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('svg[role=img]')].map(svg =>
            [...svg.querySelectorAll('text')].filter(t => t.textContent.trim()).map(
                t => { const b = t.getBoundingClientRect();
                       return [b.left, b.top, b.right, b.bottom, t.textContent]; }))"""
    )
    covered = []
    for texts in boxes:
        for place, (left, top, right, bottom, said) in enumerate(texts):
            for other in texts[place + 1 :]:
                wide = min(right, other[2]) - max(left, other[0])
                tall = min(bottom, other[3]) - max(top, other[1])
                if wide > 3 and tall > 4:
                    covered.append((said, other[4]))
    # turned labels have boxes that touch without the letters doing so
    assert len(covered) <= 6, covered


@pytest.mark.slow
def test_dark_and_light_are_both_readable(report, open_page):
    def contrast(page):
        colours = page.evaluate(
            "['color', 'background-color'].map(c => getComputedStyle(document.body)[c])"
        )
        light = []
        for colour in colours:
            rgb = np.array([int(n) for n in colour[4:-1].split(",")]) / 255
            linear = np.where(rgb <= 0.04, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
            light.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
        return max(light) / min(light), light[0] > light[1]

    (in_light, ink_is_lighter), (in_dark, dark_ink_is_lighter) = (
        contrast(open_page(report, dark=dark).page) for dark in (False, True)
    )
    assert min(in_light, in_dark) > 7  # WCAG AAA
    assert (ink_is_lighter, dark_ink_is_lighter) == (False, True)


@pytest.mark.slow
def test_the_keyboard_reaches_the_verdict_first_and_every_table(report, open_page):
    page = open_page(report).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "verdict"
    regions = page.locator("[role=region]")
    assert regions.evaluate_all("all => all.every(r => r.tabIndex === 0)")


@pytest.mark.slow
def test_it_prints(report, open_page):
    pdf = open_page(report).page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert 3 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 20
