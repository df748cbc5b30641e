"""What a comparison found: `Comparison`."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from base_models.inputs import Videos
from ensemble.combiners.strategies import simplest_of_the_highest
from ensemble.comparison.nested_cv import on_one_scale
from ensemble.comparison.protocols import PROTOCOLS
from ensemble.metrics.ranking import auc

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

_MOST_VALUES = 40  # of a column that error rates are listed by
_SHOWN = ["kind", "auc", "auc_low", "auc_high", "over_mean", "over_mean_low",
          "over_mean_high", "p_mean", "over_best_member", "p_best_member", "log_loss",
          "coverage"]  # fmt: skip


@dataclass(frozen=True)
class ComparisonFacts:
    """How a comparison was made, and what limits it; see `Comparison.how`.

    Attributes
    ----------
    compared : {"scores", "detectors"}
    nesting : {"stored", "exact", "unstated"}
    n_videos_held_out : int
        Those that the protocol holds out, to judge on.
    n_videos_judged, n_groups_judged : int
        Of these the videos that everyone has scored, and their groups: what all figures
        are of.
    coverage, ranked : float
        Shares of the videos held out that everyone has scored, and of those that have
        one of the other class in their fold.
    chosen_anew : dict
        Of choosing the best strategy on groups drawn, judged on the others: ``auc``,
        ``over_mean``, ``most often`` and in which ``share`` of the draws. Empty where
        there is no choice.
    trained_on : dict of str to (list of str or None), or None
        What members had seen before, by their cards; None: unknown.
    seen_in_training : dict of str to int, or None
        How many of the videos that includes, where data set and split say so.
    other_scales : dict of str to str, or None
        Members with values outside 0 to 1, and what was done with them on the training
        rows: "standardised" or "ranked".
    shift_held_out_by : list of str or None
        Strategies that held out values of `shift` in training.
    splits_without_shift : int or None
        Of the ``n_splits``, those whose training rows had no two values of it.
    automatic : list of str
        Strategies that are an `AutoCombiner`, which chooses in training.
    failed : dict of str to str, or None
        Members and strategies that failed, and why.
    first_judged, left_aside, not_judged, fits_of_each_detector
        None where they do not apply.
    """

    protocol: str
    compared: str
    nesting: str
    n_videos: int
    n_fakes: int
    n_groups: int
    n_videos_held_out: int
    n_videos_judged: int
    n_groups_judged: int
    groups_given: bool
    n_folds: int
    repeats: int
    n_boot: int
    level: float
    random_state: int
    best_member: str
    look_inverted: list
    coverage: float
    ranked: float
    folds_of_the_table: bool
    share_of_fakes_learned_from: float
    share_of_fakes_judged: float
    fitted_beforehand: list
    chosen_anew: dict
    automatic: list = field(default_factory=list)
    first_judged: str | None = None
    left_aside: int | None = None
    not_judged: dict | None = None
    fits_of_each_detector: int | None = None
    trained_on: dict[str, list[str] | None] | None = None
    seen_in_training: dict[str, int] | None = None
    other_scales: dict[str, str] | None = None
    shift_held_out_by: list[str] | None = None
    splits_without_shift: int | None = None
    n_splits: int | None = None
    failed: dict[str, str] | None = None
    versions: dict = field(default_factory=dict)
    hash_of_the_scores: str = ""

    @property
    def videos_judged(self) -> str:
        """How many videos were judged, of how many where not everyone has scored all.

        Returns
        -------
        str
        """
        if self.n_videos_judged == self.n_videos_held_out:
            return str(self.n_videos_judged)
        return f"{self.n_videos_judged} of {self.n_videos_held_out}"

    def to_dict(self) -> dict:
        """Return all that applies, by the names that a reader of the JSON sees."""
        return {
            _KEYS.get(name, name): value
            for name, value in vars(self).items()
            if value is not None
        }


_WITH_UNDERSCORE = {"random_state"} | {
    name for name in ComparisonFacts.__annotations__ if name.startswith("n_")
}
_KEYS = {
    name: name.replace("_", " ")
    for name in ComparisonFacts.__annotations__
    if name not in _WITH_UNDERSCORE
} | {"compared": "from"}


@dataclass
class Comparison:
    """What `compare_strategies` found.

    Attributes
    ----------
    table : DataFrame
        One row a member or strategy, best AUC first. ``kind``; ten metrics, each with
        ``*_low`` and ``*_high``; ``worst``, the lowest AUC over what was held out or
        over the first column of the metadata, and ``worst_at``, where; difference in
        AUC to the best member, picked on the judged videos, to the mean and to the
        member chosen in training (``over_*``, with ``*_low``, ``*_high``), with
        p-values by DeLong's test for groups, ``p_*_alone`` and, corrected by Holm for
        all strategies, ``p_*``; ``above_chance``, whether the AUC is shown to be above
        0.5 for all of its kind at once; difference in log loss to the mean; where there
        is `seen`, ``over_seen``: AUC less that on the same videos when what is held out
        was learned from; ``coverage``, the share of judged videos that it has scored.
        All else is on the videos that everyone has scored. Rank metrics (AUC, average
        precision, equal error rate, TPR) compare a fake with the reals of its own fold
        alone, for members and strategies alike, see `ensemble.metrics.auc`; the others
        take all folds together. Intervals are of other videos to judge, not of other
        videos to learn from: percentiles of bootstrap draws of groups; of the
        calibration error the basic bootstrap, see
        `ensemble.metrics.bootstrap_intervals.basic_ends`.
    verdict : str
        What may be said of it, in words: `lead`, and `details`, a thought a line.
    by_group_of : dict of str to DataFrame
        AUC by what was held out ("held out") and by each column of the metadata: one
        row a strategy, one column a value.
    by_value : DataFrame
        The same in full, one row an axis, value and strategy: every metric, intervals
        of the AUC and of its difference to the mean. Reals are those of the same value
        where it has any, else all.
    ablation : DataFrame
        One row a member, see `ensemble.comparison.ablation.member_contributions`.
    panels : list of Panel
        The scores that were judged.
    y : ndarray of shape (n_videos,)
        1 for fake.
    members : DataFrame of shape (n_videos, n_members)
        Its ``attrs["comparison"]``, as that of `table`, is `how`.
    facts : ComparisonFacts
        How it was made; `how` has the same by name.
    how : dict
        Protocol, nesting, folds, seeds, versions, hash of the scores; "coverage", the
        share of the videos held out that everyone has scored; "ranked", the share of
        those that have one of the other class in their fold; "folds of the table",
        whether the table says in which folds its members were fitted; "look inverted",
        members that rank reals above fakes more surely than chance explains; "chosen
        anew", what choosing the best strategy is worth on videos that the choice did
        not see;
        "share of fakes learned from" and "judged"; "fitted beforehand", the members
        of which nothing here can tell what they were fitted on.
    groups : ndarray of shape (n_videos,)
        Numbers of the groups.
    seen : DataFrame or None
        With unseen methods, sources or data sets and members that are fitted already
        (a table of scores, prefit detectors): the table of the same strategies on the
        same videos and unseen groups, where all else was learned from.
    metadata : DataFrame or None
        What was known of each video.
    strategies : dict of str to Combiner
        Unfitted.
    subject : str or None
        The strategy that the lead and the page speak of; None is the highest.
    advice : str or None
        What to take, in a sentence: what is simpler than the highest, and would do.
    to_take : tuple of str
        The strategies that it speaks of: the highest, and the simpler one, if any.
    """

    table: pd.DataFrame
    verdict: str
    by_group_of: dict
    by_value: pd.DataFrame = field(repr=False)
    ablation: pd.DataFrame
    panels: list = field(repr=False)
    y: np.ndarray = field(repr=False)
    members: pd.DataFrame = field(repr=False)
    facts: ComparisonFacts = field(repr=False)
    groups: np.ndarray = field(repr=False)
    seen: pd.DataFrame | None = field(repr=False, default=None)
    metadata: pd.DataFrame | None = field(repr=False, default=None)
    strategies: dict = field(repr=False, default_factory=dict)
    subject: str | None = field(repr=False, default=None)
    advice: str | None = field(repr=False, default=None)
    to_take: tuple[str, ...] = field(repr=False, default=())

    @property
    def how(self) -> dict:
        """How it was made, by the names that JSON has."""
        return self.facts.to_dict()

    @property
    def lead(self) -> str:
        """What to read first: at most four sentences."""
        return self.verdict.partition("\n")[0]

    @property
    def details(self) -> list[str]:
        """All else that may be said, a thought a line."""
        return self.verdict.split("\n")[1:]

    @property
    def judged(self) -> pd.DataFrame:
        """The rows of `table` without those that failed."""
        return self.table.drop(index=list(self.facts.failed or {}))

    def winner(self) -> str | None:
        """Return the strategy of the highest AUC; None where all may be guesses.

        Of those shown to be better than guessing; of several that are equal the plain
        mean, then the member chosen in training.
        """
        strategies = self.table[self.table["kind"] == "strategy"]
        good = strategies[strategies["above_chance"].astype(bool)]
        return None if good.empty else simplest_of_the_highest(good["auc"])

    def fold_aucs(self) -> pd.DataFrame:
        """Return the AUC of every fold by itself.

        `table` has their mean, in which a fold counts by its pairs of a fake and a
        real.

        Returns
        -------
        DataFrame
            One row a member or strategy, one column a (name, repeat, fold) that has
            both classes.
        """
        found = {}
        for panel in self.panels:
            panel = panel.common()
            for number in np.unique(panel.fold):
                here = panel.fold == number
                if 0 < panel.y[here].sum() < here.sum():
                    part = panel.scores.to_numpy()[here].T
                    found[panel.name, panel.repeat, int(number)] = [
                        auc(panel.y[here], score) for score in part
                    ]
        columns = pd.MultiIndex.from_tuples(found, names=["held out", "repeat", "fold"])
        return pd.DataFrame(
            np.array(list(found.values())).T, self.panels[0].scores.columns, columns
        )

    def error_rates(
        self, columns: str | Sequence[str], threshold: float = 0.5
    ) -> pd.DataFrame:
        """Return false alarms and misses by what is known of the videos.

        Recall by generator is one less the misses by ``"method"``; quality by method
        is ``["compression", "method"]``.

        Parameters
        ----------
        columns : str or sequence of str
            Of the metadata.
        threshold : float, default=0.5
            A video is called fake above it.

        Returns
        -------
        DataFrame
            A row a value, or combination of values, and strategy: ``reals`` and
            ``fakes``, how many it scored; ``false_alarms`` and ``misses``, their
            shares, NaN where there are none; ``unscored``. A video that is judged
            several times, as in repeats, counts as often.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from ensemble import compare_strategies
        >>> y = np.arange(40) % 2
        >>> noise = np.random.default_rng(0).normal(1 - 2 * y, 1, (2, 40))
        >>> scores = pd.DataFrame(1 / (1 + np.exp(noise.T)), columns=["a", "b"])
        >>> camera = pd.DataFrame({"camera": np.arange(40) // 20})
        >>> comparison = compare_strategies(
        ...     scores, y, strategies="mean", metadata=camera, n_boot=20
        ... )
        >>> int(comparison.error_rates("camera")["fakes"].loc[(0, "a")])
        10
        """
        columns = [columns] if isinstance(columns, str) else list(columns)
        known = [] if self.metadata is None else list(self.metadata)
        missing = [name for name in columns if name not in known]
        if missing or not columns:
            raise ValueError(
                f"error rates need columns of the metadata, {known}; got {columns}"
            )
        judged = pd.concat([panel.scores for panel in self.panels])
        said = judged.stack(future_stack=True).rename("score").reset_index()
        said.columns = ["row", "strategy", "score"]
        for name in columns:
            said[name] = self.metadata[name].to_numpy()[said["row"]]
        is_fake = self.y[said["row"]] == 1
        scored = said["score"].notna().to_numpy()
        is_called_fake = said["score"].to_numpy() > threshold
        said["reals"], said["fakes"] = scored & ~is_fake, scored & is_fake
        said["false_alarms"] = scored & ~is_fake & is_called_fake
        said["misses"] = scored & is_fake & ~is_called_fake
        said["unscored"] = ~scored
        counts = said.drop(columns=["row", "score"]).groupby(
            [*columns, "strategy"], sort=False
        )
        rates = counts.sum()
        for rate, of in (("false_alarms", "reals"), ("misses", "fakes")):
            rates[rate] = rates[rate] / rates[of].where(rates[of] > 0)
        return rates.sort_index()

    def to_html(
        self,
        path: str | Path,
        title: str = "Comparison of deepfake detectors",
        videos: Videos | None = None,
    ) -> None:
        """Write a report that is one file and opens offline.

        Parameters
        ----------
        path : str or Path
        title : str
        videos : sequence of length n_videos or None, default=None
            For thumbnails of the worst; None tries the ids of the rows as paths.
        """
        from ensemble.reporting.comparison_report import write_report

        write_report(self, path, title, videos)

    def to_dict(self) -> dict:
        """Return table, verdict and how it was computed, ready for JSON.

        Returns
        -------
        dict
            ``verdict`` and ``advice``; ``table``, ``ablation``, ``by_value`` and
            ``error_rates`` (by each column of the metadata), a dict a row, None where
            there is no figure; ``how``.
        """
        tables = {
            "table": self.table.rename_axis("strategy").reset_index(),
            "ablation": self.ablation.rename_axis("member").reset_index(),
            "by_value": self.by_value,
            "error_rates": self._error_rates_by_column(),
        }
        return {
            "verdict": self.verdict,
            "advice": self.advice,
            **{name: json.loads(t.to_json(orient="records", double_precision=15))
               for name, t in tables.items()},
            "how": json.loads(json.dumps(self.how, default=str)),
        }  # fmt: skip

    def _error_rates_by_column(self):
        """Error rates by each column of the metadata that has few values."""
        known = pd.DataFrame() if self.metadata is None else self.metadata
        parts = []
        for column in known:
            if 1 <= known[column].nunique() <= _MOST_VALUES:
                rates = self.error_rates(column).rename_axis(["value", "strategy"])
                rates = rates.reset_index().astype({"value": str})
                rates.insert(0, "axis", column)
                parts.append(rates)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    @property
    def members_as_p_fake(self) -> pd.DataFrame:
        """The members' scores, those on other scales brought to 0 to 1."""
        values = self.members.to_numpy(float)
        brought = on_one_scale(values, values, list(self.members))
        return pd.DataFrame(brought, self.members.index, self.members.columns)

    @property
    def protocol_label(self) -> str:
        """What was judged and what was learned from, in a sentence."""
        return PROTOCOLS[self.facts.protocol].label

    @property
    def style(self) -> "Styler":
        """The table for a notebook: a pandas Styler, best figures marked."""
        return (
            self.table[_SHOWN]
            .style.format(precision=4, na_rep="")
            .highlight_max(
                ["auc", "over_mean", "over_best_member"], props="font-weight: bold"
            )
            .highlight_min(["log_loss"], props="font-weight: bold")
        )

    def _repr_html_(self):
        rest = "".join(f"<p>{html.escape(line)}</p>" for line in self.details)
        return (
            f"<p>{html.escape(f'{self.lead} {self.advice or str()}')}</p>"
            f"{self.style.to_html()}"
            f"<details><summary>Details</summary>{rest}</details>"
        )
