"""From a CSV of detectors' scores to verdicts whose error rate is certified.

    python examples/scores_to_decision.py scores.csv [--scores "p_*"] [--rate 0.1]
    python examples/scores_to_decision.py            (made-up scores stand in)
    python examples/scores_to_decision.py --plot decision.png

The CSV has one line a video: an id, label (0/1 or REAL/FAKE), group (the person or
source) and a column of P(fake) for each detector. People are dealt to three parts: one
fits the combiner and its calibration, one certifies the decision, one is judged. Takes
seconds; needs no network and no GPU.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from ensemble import read_scores, write_scores
from ensemble.calibration import Calibrator, cross_fitted_scores
from ensemble.combiners import Stacking
from ensemble.decision import ThreeWayDecision, adjust_prior, verdict_rates
from ensemble.labels import encode_labels
from ensemble.metrics import evaluate
from ensemble.resampling import group_codes
from ensemble.scores import companions, score_table


def main(path, columns, rate, n_identities, plot=None):
    table = read_scores(path, columns) if path else made_up_scores(n_identities)
    beside = companions(table)
    _, y = encode_labels(beside["label"].to_numpy())  # 1 is fake
    groups = group_codes(beside["group"].to_numpy(), len(table))
    n_people = len(np.unique(groups))
    print(f"{len(table)} videos of {n_people} people, {table.shape[1]} detectors;")
    print(f"{table.isna().to_numpy().mean():.1%} of the scores are missing.\n")

    part = np.random.default_rng(0).permutation(n_people)[groups] % 3
    fit, certify, judge = (part == number for number in range(3))

    # Training rows are scored by combiners that were fitted on other people; on these
    # scores the calibration is fitted.
    combiner = Stacking()
    cross_fitted = cross_fitted_scores(combiner, table[fit], y[fit], groups[fit])
    calibrator = Calibrator("platt").fit(cross_fitted, y[fit])
    combiner.fit(table[fit], y[fit], groups=groups[fit])
    score = calibrator(combiner.fake_score(table))

    lines = {name: evaluate(y[judge], table[name][judge]) for name in table}
    lines["combined"] = evaluate(y[judge], score[judge])
    shown = ["coverage", "auc", "log_loss", "expected_calibration_error"]
    print(f"On {judge.sum()} videos of people that nothing was fitted on:")
    print(pd.DataFrame(lines).T[shown].round(3).to_string(), "\n")

    by_class = [len(np.unique(groups[certify & (y == label)])) for label in (0, 1)]
    confidence, n_people = 0.9, min(by_class)
    is_enough = (1 - rate) ** n_people <= (1 - confidence) / 2  # if nobody is an error
    if not is_enough:
        print(f"{n_people} people cannot certify {rate:.0%} with a confidence of 90 %.")
        rate = max(rate, 1 / (n_people + 1))
    decision = ThreeWayDecision(rate, rate, confidence if is_enough else None)
    decision.fit(score[certify], y[certify], groups[certify])
    print(decision.guarantee_)
    print(f"A video is called fake above {decision.high_:.3f},")
    print(f"real below {decision.low_:.3f}.\n")

    verdict = decision.predict(score)
    print("How it went on the people held out:")
    counts = pd.DataFrame({"is fake": y[judge], "verdict": verdict[judge]})
    print(pd.crosstab(counts["is fake"], counts["verdict"]).to_string(), "\n")
    rates = verdict_rates(y[judge], verdict[judge], groups[judge])
    print(rates.round(3).to_string(), "\n")

    page = {"is fake": y, "P(fake)": score, "verdict": verdict}
    page["P(fake) if 1 in 100 is"] = adjust_prior(score, y[fit].mean(), 0.01)
    page = pd.DataFrame(page, index=table.index)
    print(page[judge].head(8).round(3).to_string())
    if plot:
        plot_decision(score[judge], y[judge], decision, plot)


def plot_decision(score, y, decision, path):
    """Draw the scores of both classes, and where REAL and FAKE begin."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    bins = np.linspace(0, 1, 31)
    axes.hist(score[y == 0], bins, alpha=0.6, color="tab:blue", label="real videos")
    axes.hist(score[y == 1], bins, alpha=0.6, color="tab:red", label="fakes")
    axes.axvspan(decision.low_, decision.high_, color="0.9", zorder=0, label="UNSURE")
    axes.set(xlabel="P(fake), calibrated", ylabel="videos", xlim=(0, 1))
    axes.legend(loc="upper center")
    figure.savefig(path, dpi=110)


def made_up_scores(n_identities):
    """Write scores of four detectors of people and their forgeries; read them again."""
    draw = np.random.default_rng(0)
    group = np.arange(n_identities).repeat(6)
    label = np.tile([0, 0, 0, 1, 1, 1], n_identities)
    skill = np.array([2.0, 1.5, 1.2, 0.3])
    of_person = draw.normal(size=(n_identities, 4))[group]
    log_odds = skill * (label[:, None] - 0.5) * 2 + of_person
    scores = expit(log_odds + draw.normal(0, 1.5, log_odds.shape))
    scores[draw.random(scores.shape) < 0.05] = np.nan  # no face found
    table = score_table(
        scores,
        index=[f"person{g:03d}_clip{k % 6}.mp4" for k, g in enumerate(group)],
        columns=["xception_face", "resnet_face", "efficientnet_frame", "landmarks"],
        label=label,
        group=group,
    )
    with tempfile.TemporaryDirectory() as folder:
        write_scores(table, Path(folder) / "scores.csv")
        return read_scores(Path(folder) / "scores.csv")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", help="CSV or parquet with scores")
    parser.add_argument("--scores", help="pattern of the detectors' columns")
    parser.add_argument("--rate", type=float, default=0.1, help="of errors, each way")
    parser.add_argument("--identities", type=int, default=300, help="made-up people")
    parser.add_argument("--plot", help="picture of the decision to write")
    given = parser.parse_args()
    main(given.path, given.scores, given.rate, given.identities, given.plot)
