"""What the command line shows: tables on a terminal, plain text elsewhere."""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ensemble.choices import FAKE, P_FAKE, REAL, SUSPICION, TRACES, UNSURE
from ensemble.combiners.strategies import MEAN
from ensemble.metrics.loss_and_accuracy import evaluate
from ensemble.metrics.within_folds import folds_of_table
from ensemble.scores.table import companions
from ensemble.verdicts.card import evidence_or_none
from ensemble.verdicts.card_words import single_doubts
from ensemble.verdicts.threshold_and_prior import to_probability

if TYPE_CHECKING:
    from ensemble.cli.demo import DemoResult
    from ensemble.comparison.result import Comparison
    from ensemble.deepfake_ensemble import DeepfakeEnsemble
    from ensemble.inspection.scan import ScanResult
    from ensemble.inspection.stress import StressResult

# Marks that turn the direction of text round: a name with them looks like another.
_TURNS_TEXT = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_VERDICT_COLOURS = {FAKE: "red", TRACES: "red", REAL: "green"}


def show_demo(result: "DemoResult") -> None:
    """Print what a demo found."""
    console = terminal()
    table = _table(
        f"{result.n_test} clips of people that nothing was fitted on "
        f"({result.n_train} for training)",
        "",
        ("AUC", "95 % interval", "log loss", "accuracy"),
    )
    kind = None
    for name, row in result.table.iterrows():
        if kind is not None and row["kind"] != kind:
            table.add_section()
        kind = row["kind"]
        table.add_row(
            name,
            f"{row['auc']:.3f}",
            f"{row['auc_low']:.3f} to {row['auc_high']:.3f}",
            f"{row['log_loss']:.3f}",
            f"{row['accuracy']:.3f}",
        )
    console.print(table)
    console.print(_compared(result.table), soft_wrap=True)
    if result.weights is not None:
        weights = ", ".join(f"{name} {w:.2f}" for name, w in result.weights.items())
        console.print(
            f"Weights of the log-odds in the stacking ensemble: {weights}",
            soft_wrap=True,
        )
    console.print(_pairs(result.pairs))
    right = result.predictions["right"]
    unsure = result.predictions["verdict"].eq(UNSURE).sum()
    console.print(
        f"\nVerdicts of the saved ensemble on these clips, {right.sum()} of "
        f"{len(right)} right, {unsure} unsure; the first of them:",
    )
    doubts = set(result.predictions["doubts"])
    if unsure == len(right) and len(doubts) == 1:
        console.print(f"All are UNSURE for one reason: {doubts.pop()}", soft_wrap=True)
    clips = Table("clip", "made by", "P(fake)", "verdict", "")
    for row in result.predictions.head(8).itertuples():
        made_by = "camera" if row.method == "none" else row.method
        name = "/".join(Path(row.path).parts[-2:])
        wrong = "wrong" if row.verdict in (FAKE, REAL) and not row.right else ""
        clips.add_row(name, made_by, f"{row.p_fake:.3f}", row.verdict, wrong)
    console.print(clips)
    total = sum(result.seconds.values())
    steps = ", ".join(f"{name} {s:.0f} s" for name, s in result.seconds.items())
    folder, unseen = result.model_path.parent, result.predictions["path"].iloc[-1]
    console.print(
        f"\nTook {total:.0f} s: {steps}.\n"
        f"In {folder}/: report.html (strategies on the training clips, out of fold: "
        "other figures than above), clips/, model.dfe (the stacking ensemble), "
        "strategies.csv and predictions.csv (of the clips above).\n"
        f"Try: deepfake-ensemble scan {unseen} --model {result.model_path} "
        "--evidence evidence.html\n"
        "These small members and home-made swaps show how the library works; their "
        "figures say nothing about deepfakes in the wild.",
        soft_wrap=True,
    )


def show_fit(model: "DeepfakeEnsemble", path: str | Path) -> None:
    """Print the out-of-fold figures of a fitted ensemble and where it was saved.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    path : str or Path
        Where it was saved.
    """
    console = terminal()
    if model.false_alarms_ is not None:
        _show_reals(console, model, path)
        return
    scores = model.oof_scores_
    labels = companions(scores)
    n_groups = labels["group"].nunique()
    table = _table(
        f"Out of fold on {len(scores)} videos"
        + (f" of {n_groups} groups" if n_groups else ", no groups given"),
        "",
        ("AUC", "log loss", "accuracy", "scored", "weight"),
    )
    y = (labels["label"] == model.fake_class_).to_numpy()
    fold = folds_of_table(scores)

    def add(name, score, weight="", threshold=0.5):
        figures = evaluate(y, score.to_numpy(), threshold, fold=fold)
        cells = [f"{figures[key]:.3f}" for key in ("auc", "log_loss", "accuracy")]
        table.add_row(Text(visible(name)), *cells, f"{score.notna().sum()}", weight)

    if evidence_or_none(model) is not None:
        score = model.oof_fake_score_
        p_fake = pd.Series(to_probability(model, score.to_numpy()), score.index)
        add("the saved ensemble", p_fake, threshold=model.thresholds_.high)
        table.add_section()
    weights = model.weights_
    for name in scores:
        add(name, scores[name], "" if weights is None else f"{weights[name]:.2f}")
    table.add_section()
    add("for comparison: their plain mean", scores.mean(axis=1))
    console.print(table)
    idle = [] if weights is None else list(weights.index[weights == 0])
    if idle:
        console.print(
            f"The combiner gives {', '.join(map(visible, idle))} weight 0: without "
            f"{'it' if len(idle) == 1 else 'them'} the ensemble would say the same, in "
            "less time.",
            soft_wrap=True,
        )
    console.print(visible(model.card_.summary()), soft_wrap=True)
    console.print(f"Saved to {visible(path)}", soft_wrap=True)
    _show_left_out(console, model, path)


def _show_left_out(console, model, path):
    """Last of all, what a fit went on without, and where that is listed."""
    for name, reason in model.failed_detectors_.items():
        console.print(
            f"{visible(name)} failed and is not in it: {visible(reason)}",
            soft_wrap=True,
        )
    if model.skipped_videos_:
        n_skipped = len(model.skipped_videos_)
        n_videos = n_skipped + len(model.fit_record_.training)
        console.print(
            f"{n_skipped:,} of {n_videos:,} videos were left out, since no detector "
            f"could look at them; deepfake-ensemble verify {visible(path)} lists them.",
            soft_wrap=True,
        )


def _show_reals(console, model, path):
    """What can be said after a fit on real videos alone: false alarms, nothing more."""
    rate, low, high = model.false_alarms_
    console.print(
        f"Fitted on {len(model.oof_scores_)} real videos and no fakes; detectors: "
        f"{', '.join(model.oof_scores_)}.\nIt says FAKE TRACES above "
        f"{model.threshold_:.3f}, UNSURE else, and never REAL.\n"
        f"{100 * rate:.1f} % of these videos are above it, out of fold; of others "
        f"like them it may be {100 * low:.1f} to {100 * high:.1f} %.\n"
        f"How many fakes are found only fakes that others made can tell.\n"
        f"Saved to {visible(path)}",
        soft_wrap=True,
    )
    _show_left_out(console, model, path)


class VerdictLines:
    """Prints a line a video, each when it is there.

    Parameters
    ----------
    names : sequence of str
        Of all videos that will come: the columns are as wide as they need.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._console = terminal()
        widest = max((cell_len(visible(name)) for name in names), default=0)
        self._widths = [max(widest, len("video")), 7, 7, 10]
        self._begun = False

    def add(self, table: pd.DataFrame) -> None:
        """Print the verdict on one video.

        Parameters
        ----------
        table : DataFrame of one row
            From `DeepfakeEnsemble.judge_each`.
        """
        if not self._begun:
            score = "score" if "calibration" in table else "P(fake)"
            if SUSPICION in table:
                self._widths[1:3] = len(SUSPICION), len(TRACES)
                score = SUSPICION
            self._print("video", score, Text("verdict"), "status", "reason")
            self._begun = True
        for video, row in table.rename(columns={SUSPICION: P_FAKE}).iterrows():
            colour = _VERDICT_COLOURS.get(row["verdict"], "yellow")
            self._print(
                visible(video),
                "" if pd.isna(row["p_fake"]) else f"{row['p_fake']:.3f}",
                Text(row["verdict"], style=colour),
                row["status"],
                visible("; ".join(filter(None, (row["reason"], row["doubts"])))),
            )

    def _print(self, video, p_fake, verdict, status, reason):
        widths = self._widths
        verdict.pad_right(max(0, widths[2] - verdict.cell_len))
        line = Text(set_cell_size(video, max(widths[0], cell_len(video))))
        line.append(f"  {p_fake:>{widths[1]}}  ")
        line.append_text(verdict)
        line.append(f"  {status:<{widths[3]}}  {reason}")
        line.rstrip()
        self._console.print(line, soft_wrap=True)
        self._console.file.flush()


def visible(text: object) -> str:
    """Return a name as it can stand on a terminal: what controls one is escaped.

    Examples
    --------
    >>> from ensemble.cli.tables import visible
    >>> print(visible("Title [x].mp4" + chr(27) + "[2J"))
    Title [x].mp4\\x1b[2J
    """
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if unicodedata.category(char) in ("Cc", "Cs") or char in _TURNS_TEXT
        else char
        for char in str(text)
    )


def show_scan(
    result: "ScanResult",
    written: Sequence[Path] = (),
    not_written: Sequence[str] = (),
    err: bool = False,
) -> None:
    """Print the verdict on one video and how sure it is.

    Parameters
    ----------
    result : ScanResult
        From `ensemble.scan_video`.
    written : sequence of Path
        Files that tell more.
    not_written : sequence of str
        Why others could not be written.
    err : bool, default=False
        Print to standard error, where standard output is for data.
    """
    console = terminal(stderr=err)
    colour = _VERDICT_COLOURS.get(result.verdict, "yellow")
    verdict = result.verdict or "no verdict"
    p_fake = f"  {result.score_name} {result.p_fake:.3f}"
    p_fake = "" if pd.isna(result.p_fake) else p_fake
    disagree = "; its faces have different verdicts" if result.faces_disagree else ""
    console.print(visible(result.video), soft_wrap=True)
    line = Text("  ").append(verdict, style=f"bold {colour}")
    console.print(line.append(f"{p_fake}  ({result.status}{disagree})"), soft_wrap=True)
    lines = [("reason", result.reason)] if result.reason else []
    doubts = single_doubts(result.doubts)
    lines += [("" if number else "doubts", one) for number, one in enumerate(doubts)]
    lines += [*_member_lines(result), *_face_lines(result)]
    lines += [("written", str(path)) for path in written]
    lines += [("not written", reason) for reason in not_written]
    for name, text in lines:
        console.print(f"  {name:<11}  {visible(text)}", soft_wrap=True)


def _member_lines(result):
    lines, n_scores = [], result.members["p_fake"].notna().sum()
    if n_scores > 1:
        low, high, std = (result.spread[name] for name in ("low", "high", "std"))
        spread = f"{low:.3f} to {high:.3f}, standard deviation {std:.3f}"
        lines.append(("members", spread))
    for number, (name, row) in enumerate(result.members.iterrows()):
        p_fake = "" if pd.isna(row["p_fake"]) else f"{row['p_fake']:.3f}"
        text = "; ".join(part for part in (p_fake, row["reason"]) if part)
        heading = "member" if number == 0 and n_scores < 2 else ""
        lines.append((heading, f"{name} {text}"))
    return lines


def _face_lines(result):
    lines = []
    for row in result.faces.itertuples():
        text = row.reason or "no score"
        if not pd.isna(row.p_fake):
            text = f"{row.verdict} {result.score_name} {row.p_fake:.3f}"
        text += f", seen from {row.first:.1f} to {row.last:.1f} s"
        if row.main and len(result.faces) > 1:
            text += ", the verdict is about this one"
        lines.append((f"face {row.face}", text))
    return lines


def show_stress(
    result: "StressResult", plot: Path | None = None, err: bool = False
) -> None:
    """Print how an ensemble and its members stand changed videos.

    Parameters
    ----------
    result : StressResult
    plot : Path or None, default=None
        Where its plot was written.
    err : bool, default=False
        Print to standard error, where standard output is for data.
    """
    console = terminal(stderr=err)
    with_auc = "auc" in result.table
    headings = ["strength", "scorer", "drift", "size", "flipped", "lost"]
    table = _plain_table("change", headings + ["AUC", "before"] * with_auc)
    table.columns[2].justify = "left"
    for row in result.table.to_dict("records"):
        cells = [f"{row['drift']:+.3f}", f"{row['size']:.3f}"]
        cells += [f"{100 * row[name]:.0f} %" for name in ("flipped", "lost")]
        if with_auc:
            cells += [f"{row[name]:.3f}" for name in ("auc", "auc_before")]
        cells = ["" if "nan" in cell else cell for cell in cells]
        table.add_row(
            row["change"], f"{row['strength']:g}", visible(row["scorer"]), *cells
        )
    console.print(table)
    for video, reason in result.reasons.items():
        console.print(f"no score: {visible(video)}: {visible(reason)}", soft_wrap=True)
    if plot is not None:
        console.print(f"Plot: {visible(plot)}", soft_wrap=True)


def show_comparison(
    comparison: "Comparison",
    report: Path | None = None,
    err: bool = False,
    shipping: str | None = None,
    details: bool = True,
) -> None:
    """Print the table and the verdict of a comparison.

    Parameters
    ----------
    comparison : Comparison
    report : Path or None, default=None
        Where its report was written.
    err : bool, default=False
        Print to standard error, where standard output is for data.
    shipping : str or None, default=None
        Which commands make a rule of the best strategy, and why of that one.
    details : bool, default=True
        Print all that may be said, and not only what to read first.
    """
    console = terminal(stderr=err)
    table = _plain_table(
        "strategy or member",
        ("AUC", "interval", "minus the mean's", "interval", "p", "log loss"),
    )
    for name, row in comparison.judged.iterrows():
        ahead = pd.notna(row["over_mean"]) and name != MEAN
        table.add_row(
            Text(visible(name), style="dim" if row["kind"] == "member" else ""),
            f"{row['auc']:.4f}",
            f"{row['auc_low']:.4f} to {row['auc_high']:.4f}",
            f"{row['over_mean']:+.4f}" if ahead else "",
            f"{row['over_mean_low']:+.4f} to {row['over_mean_high']:+.4f}"
            if ahead
            else "",
            "" if pd.isna(row["p_mean"]) else f"{row['p_mean']:.3f}",
            f"{row['log_loss']:.4f}",
        )
    console.print(table)
    by_compression = comparison.by_group_of.get("compression")
    if by_compression is not None and by_compression.shape[1] > 1:
        grid = _plain_table("AUC by compression", tuple(by_compression))
        for name, row in by_compression.iterrows():
            values = ("" if pd.isna(value) else f"{value:.4f}" for value in row)
            grid.add_row(Text(visible(name)), *values)
        console.print("\n", grid)
    advice = f" {comparison.advice}" if comparison.advice else ""
    console.print(f"\n{comparison.lead}{advice}", soft_wrap=True)
    if details:
        console.print("\n" + "\n".join(comparison.details), soft_wrap=True)
    if shipping is not None:
        lines = "\n".join(map(visible, shipping.split("\n")))
        console.print(f"\n{lines}", soft_wrap=True)
    if report is not None:
        console.print(f"\nReport: {visible(report)}", soft_wrap=True)


def show_exported(
    cards: Mapping[str, dict], skipped: Mapping[str, str], folder: Path
) -> None:
    """Print what was written of which network, and what was not.

    Parameters
    ----------
    cards, skipped : dict
        From `ensemble.export_members`.
    folder : Path
    """
    console = terminal()
    for card in cards.values():
        console.print(
            f"{visible(folder / card['file'])}: its score differs from torch's by at "
            f"most {card['largest_difference']:.1g}",
            soft_wrap=True,
        )
        if "int8" in card:
            int8 = card["int8"]
            drift = int8.get("largest_of_videos", int8["largest_of_images"])
            moved = int8.get("other_side_of_half")
            console.print(
                f"{visible(folder / int8['file'])}: 8 bits ({int8['kind']}); "
                f"its score differs by up to {drift:.2g} on {int8['measured_on']}"
                + ("" if moved is None else f"; {moved} changed label at 0.5"),
                soft_wrap=True,
            )
    for name, reason in skipped.items():
        console.print(visible(f"{name}: skipped, {reason}"), soft_wrap=True)


def _pairs(pairs):
    """A table of pairs of members, those that differ most first."""
    table = _table(
        "\nWhich members really differ, on the held-out clips",
        "pair",
        ("scores' correlation", "disagree", "both wrong"),
    )
    for row in pairs.sort_values("score_correlation").itertuples():
        table.add_row(
            f"{row.first}, {row.second}",
            f"{row.score_correlation:.2f}",
            f"{row.disagreement:.2f}",
            f"{row.double_fault:.2f}",
        )
    return table


def _compared(table):
    """Say in words whether an ensemble beat the best member, and by how much."""
    best = table[table["kind"] == "detector"]["auc"].idxmax()
    ensembles = table[table["kind"] == "ensemble"]["auc"]
    first = ensembles.idxmax()
    if not (table.loc[ensembles.index, "auc_low"] > 0.5).any():
        return (
            f"No strategy is shown to be better than guessing; the best here, {first}, "
            f"reaches an AUC of {ensembles[first]:.3f}."
        )
    verb = "beats" if ensembles[first] > table.loc[best, "auc"] else "does not beat"
    is_significant = table.loc[first, "auc_low"] > table.loc[best, "auc"]
    chance = "; on so few clips that is within what chance does"
    return (
        f"The best strategy here, {first}, {verb} the best detector, {best}: AUC "
        f"{ensembles[first]:.3f} against {table.loc[best, 'auc']:.3f}"
        f"{'' if is_significant else chance}."
    )


def _table(title, first, numbers):
    """A table with a title: a first column, and others for numbers."""
    table = Table(first, title=title, title_justify="left")
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _plain_table(first, numbers):
    """The same without title and lines."""
    table = _table(None, first, numbers)
    table.box, table.pad_edge = None, False
    return table


def terminal(stderr: bool = False) -> Console:
    """Return where to print: names are shown as they are, no markup, no emoji."""
    console = Console(highlight=False, markup=False, emoji=False, stderr=stderr)
    if not console.is_terminal:
        console.width = 160  # a file or pipe has no edge to fold at
    return console
