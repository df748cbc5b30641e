"""AUC within folds and compressions, with intervals; tables of it."""

import numpy as np
import pandas as pd

from ensemble.metrics import group_bootstrap_interval

N_BOOT = 1000


def area_within(y, scores, strata):
    """AUC over pairs of a real and a fake of one stratum: fits are never mixed.

    Parameters
    ----------
    y, scores, strata : ndarray of shape (n_videos,)

    Returns
    -------
    float
        NaN where no stratum has both.

    Examples
    --------
    >>> import numpy as np
    >>> y, strata = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    >>> area_within(y, np.array([0.1, 0.2, 0.8, 0.9]), strata)
    1.0
    """
    won = pairs = 0.0
    for stratum in np.unique(strata):
        here = strata == stratum
        reals = np.sort(scores[here & (y == 0)])
        fakes = scores[here & (y == 1)]
        # thousands of draws: scikit-learn's takes fifty times as long
        below, up_to = (reals.searchsorted(fakes, side) for side in ("left", "right"))
        won += (below + up_to).sum() / 2
        pairs += len(reals) * len(fakes)
    return float(won / pairs) if pairs else np.nan


def sections(table):
    """Name what is asked, and the rows of each: reals, and fakes of one kind."""
    real = table["label"] == 0
    forged, made = table["set"] == "forged", table["set"] == "made"
    found = {}
    for level in sorted(set(table.loc[forged, "level"])):
        here = forged & (table["level"] == level)
        found[f"forged, {level}"] = here
        for method in sorted(set(table.loc[here & ~real, "method"])):
            found[f"{method}, {level}"] = here & (real | (table["method"] == method))
    for kind in sorted(set(table.loc[made & ~real, "method"])):
        found[f"pseudo-fakes, {kind}"] = made & (real | (table["method"] == kind))
    for name in ("generated", "table"):
        if (table["set"] == name).any():
            found[name] = table["set"] == name
    return found


def measured(table, names):
    """AUC of each column in each section, with its interval.

    Parameters
    ----------
    table : DataFrame
        With part, set, label, group, method, level and columns of scores.
    names : list of str
        Columns.

    Returns
    -------
    DataFrame
        section, name, auc, low, high, n_real, n_fake. Videos that one of the columns
        does not score count in none.
    """
    rows = []
    for section, here in sections(table).items():
        videos = table[here & table[names].notna().all(axis=1)]
        for name in names:
            found = interval(videos, [name], lambda y, s, strata: area_within(
                y, s[:, 0], strata))  # fmt: skip
            n_fake = int(videos["label"].sum())
            rows.append((section, name, *found, len(videos) - n_fake, n_fake))
    columns = ["section", "name", "auc", "low", "high", "n_real", "n_fake"]
    return pd.DataFrame(rows, columns=columns)


def ahead(table, one, other, here):
    """How much larger the AUC of one column is than of another, paired.

    Parameters
    ----------
    table : DataFrame
    one, other : str
        Columns.
    here : ndarray of bool
        Rows of the table.

    Returns
    -------
    tuple of float
        Estimate and the ends of its 95 % interval.
    """
    videos = table[here & table[[one, other]].notna().all(axis=1)]
    return interval(
        videos,
        [one, other],
        lambda y, s, strata: (
            area_within(y, s[:, 0], strata) - area_within(y, s[:, 1], strata)
        ),
    )


def interval(videos, names, metric):
    """A figure within parts and levels, and its interval over draws of groups."""
    y = videos["label"].to_numpy(int)
    if len(np.unique(y)) < 2:
        return np.nan, np.nan, np.nan
    strata = pd.factorize(videos["part"] + "/" + videos["level"])[0]
    scores = np.column_stack([videos[names].to_numpy(float), strata])
    return tuple(
        group_bootstrap_interval(
            lambda y, s: metric(y, s[:, :-1], s[:, -1]),
            y, scores, videos["group"].to_numpy(), n_boot=N_BOOT, random_state=0,
        )
    )  # fmt: skip


def as_page(figures, names, chosen_sections):
    """Lines of a table of a page: a row for each column of scores."""
    lines = ["| | " + " | ".join(chosen_sections) + " |"]
    lines.append("|---" * (1 + len(chosen_sections)) + "|")
    for name in names:
        cells = [
            _cell(figures[(figures["section"] == s) & (figures["name"] == name)])
            for s in chosen_sections
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _cell(row):
    if row.empty or np.isnan(row["auc"].item()):
        return ""
    area, low, high = (
        f"{row[c].item():.3f}".lstrip("0") for c in ("auc", "low", "high")
    )
    return f"{area} ({low} to {high})"
