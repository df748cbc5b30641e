"""Dynamic selection: each video is judged by the detectors that do well on its like."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import expit

from base_models.naming import did_you_mean
from ensemble.combiners.base import Combiner
from ensemble.combiners.parts.checks import is_number
from ensemble.combiners.parts.neighbours import Neighbours
from ensemble.combiners.parts.rows import sample_rows
from ensemble.combiners.registry import Entry, register
from ensemble.metrics.ties import above

_COMPETENCES = ("log_loss", "union", "eliminate")
_NEIGHBOURS = (7, 15, 30, 60, 120)
_NEAR = 64  # looked at first where all known videos count in order
_MAX_KNOWN = 2000  # different rows of each class kept to look for neighbours in


@register(Entry("dynamic", label="dynamic selection", order=12))
class DynamicSelection(Combiner):
    """Weight the detectors, video by video, by how well they do on similar videos.

    Similar are the training videos nearest in score space, by the mean squared
    difference of the scores that both have. What is known of them is out of fold, as
    the table is.

    Parameters
    ----------
    competence : {"log_loss", "union", "eliminate"}, default="log_loss"
        How the neighbours' labels become weights:

        - "log_loss": a detector weighs what it makes of the neighbours' labels, its
          likelihood per video to the power of `sharpness`.
        - "union" (KNORA-U): as many votes as neighbours it gets right.
        - "eliminate" (KNORA-E): only detectors that get all neighbours right vote; as
          long as there are none, the farthest neighbour is left out.
    n_neighbors : int or "auto", default="auto"
        Weight of the neighbours, in videos. "auto" takes the most, of 7 to 120 or all
        videos, whose log loss is within one standard error of the least when each
        training video's neighbours are looked for in other groups.
    sharpness : float, default=4.0
        For "log_loss": 0 weighs all alike.
    scale : str or None, default="detect"
        Scale of the distances and of the mean: "probability" or "log_odds" of P(fake),
        "rank", "standard" or None; the last three take any numbers. "detect" takes
        log-odds, after bringing each column with values outside 0 to 1 there.
    clip : float, default=1e-3
        Log-odds are those of scores clipped to [clip, 1 - clip].
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    n_neighbors_ : float
        The number in use; inf for all.
    known_scores_, known_losses_, known_right_, known_weight_ : ndarray
        Scores on their scale, log losses and right answers of each detector for the
        training videos, up to 2,000 different ones of each class, and their weights.
    classes_ : ndarray of shape (2,)
        The labels, sorted.

    References
    ----------
    Ko, Sabourin, Britto (2008), From dynamic classifier selection to dynamic ensemble
    selection, Pattern Recognition 41; Cruz et al. (2020), DESlib, JMLR 21.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> good = np.clip(0.5 + 0.3 * (y - 0.5) + 0.2 * rng.normal(size=200), 0, 1)
    >>> scores = np.column_stack([good, rng.random(200)])  # the second knows nothing
    >>> combiner = DynamicSelection(n_neighbors=30).fit(scores, y)
    >>> combiner.local_weights([[0.8, 0.3]]).round(1)
    array([[0.9, 0.1]])
    """

    def __init__(
        self,
        competence: str = "log_loss",
        n_neighbors: float | str = "auto",
        sharpness: float = 4.0,
        scale: str | None = "detect",
        clip: float = 1e-3,
        fake_label: Any = None,
    ) -> None:
        self.competence = competence
        self.n_neighbors = n_neighbors
        self.sharpness = sharpness
        self.scale = scale
        self.clip = clip
        self.fake_label = fake_label

    def local_weights(self, X: ArrayLike) -> NDArray:
        """Return what each detector weighs for each video.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)

        Returns
        -------
        weights : ndarray of shape (n_videos, n_detectors)
            Rows sum to 1; 0 where the score is missing, and all 0 where all are.
        """
        X = self._checked(X)
        scores = self._on_scale(X)
        weights = np.zeros(X.shape)
        scored = self._has_score(scores)
        local = self._weights(scores[scored], None, [self.n_neighbors_])[0]
        weights[np.ix_(scored, self.detector_order_)] = local
        return weights

    def _own_scale(self):
        return "log_odds"

    def _fit(self, rows):
        self._check_parameters()
        rows = sample_rows(rows, _MAX_KNOWN)
        here = ~np.isnan(rows.scores)
        is_fake = rows.is_fake[:, None] == 1
        single = rows.scores if self._as_is() else expit(rows.scores)
        right = np.clip(np.where(is_fake, single, 1 - single), 1e-6, 1)
        self.known_scores_, self.known_weight_ = rows.scores, rows.weight
        self.known_losses_ = np.where(here, -np.log(right), 0.0)
        self.known_right_ = np.where(here & (above(single, 0.5) == is_fake), 1.0, 0.0)
        self.n_neighbors_ = self.n_neighbors
        if isinstance(self.n_neighbors, str):
            self.n_neighbors_ = self._best_number(rows)

    def _fake_score(self, scores):
        (weights,) = self._weights(scores, None, [self.n_neighbors_])
        return self._mean(scores, weights)

    def _best_number(self, rows):
        """Choose the number of neighbours, none of them of the video's own group."""
        groups = np.arange(len(rows)) if rows.groups is None else rows.groups
        numbers = [k for k in _NEIGHBOURS if k < rows.weight.sum() / 2] + [np.inf]
        losses = []
        for weights in self._weights(rows.scores, groups, numbers):
            score = self._mean(rows.scores, weights)
            right = np.where(rows.is_fake == 1, score, 1 - score)
            losses.append(rows.weight * -np.log(np.clip(right, 1e-15, 1)))
        best = losses[np.argmin(np.sum(losses, axis=1))]
        for number, loss in zip(numbers[::-1], losses[::-1], strict=True):
            worse = np.bincount(groups, loss - best)
            if worse.sum() <= np.sqrt((worse**2).sum()) + 1e-9:
                return float(number)

    def _weights(self, scores, groups, numbers):
        """Return an array of weights for each number of neighbours.

        With `groups`, the rows are those of `fit`, and a neighbour of the same group is
        none.
        """
        found = np.empty((len(numbers), *scores.shape))
        neighbours = Neighbours(self.known_scores_, groups)
        of_all = np.array(numbers) >= self.known_weight_.sum()
        if any(of_all):
            by_order = self.competence == "eliminate"
            weigh = self._eliminate_all if by_order else self._weights_by_all
            found[of_all] = weigh(neighbours, scores, groups)
        if not all(of_all):
            numbers = np.where(of_all, 0, numbers)
            self._weigh_by_nearest(found, neighbours, scores, groups, numbers)
        has_score = ~np.isnan(scores)
        found *= has_score
        total = found.sum(axis=2, keepdims=True)
        alike = has_score / has_score.sum(axis=1, keepdims=True)
        return np.where(total > 0, found / np.where(total > 0, total, 1), alike)

    def _weights_by_all(self, neighbours, scores, groups):
        """Return weights by all known videos that have a detector in common."""
        has_score = ~np.isnan(scores)
        summed = self.known_weight_[:, None] * self._what_is_summed()
        which = np.arange(len(scores))
        if groups is None:  # what is in reach depends on the missing scores alone
            if has_score.all():
                scores, which = scores[:1], np.zeros(len(scores), int)
            else:
                _, first, which = np.unique(
                    np.packbits(has_score, axis=1),
                    axis=0,
                    return_index=True,
                    return_inverse=True,
                )
                scores, which = scores[first], which.ravel()
        sums = np.empty((len(scores), summed.shape[1]))
        for start in range(0, len(scores), neighbours.at_once):
            part = slice(start, start + neighbours.at_once)
            own = None if groups is None else groups[part]
            sums[part] = neighbours.sums_in_reach(summed, scores[part], own)
        return self._from_sums(sums)[which]

    def _eliminate_all(self, neighbours, scores, groups):
        """Return who errs farthest, looking only as far as needed."""
        found = np.empty(scores.shape)
        wrong = (self.known_right_ == 0) & ~np.isnan(self.known_scores_)
        errs = wrong.any(axis=0)
        n_near, n_known, left = _NEAR, len(wrong), np.arange(len(scores))
        while len(left):
            n_near = min(n_near, n_known)
            undecided = []
            for start in range(0, len(left), neighbours.at_once):
                part = left[start : start + neighbours.at_once]
                own = None if groups is None else groups[part]
                near, distance = neighbours.nearest(scores[part], n_near, own)
                in_reach = np.isfinite(distance)
                found[part] = self._longest_right(near, in_reach)
                seen = (wrong[near] & in_reach[:, :, None]).any(axis=1) | ~errs
                undecided.append(part[~seen.all(axis=1) & in_reach.all(axis=1)])
            left = np.concatenate(undecided) if n_near < n_known else left[:0]
            n_near *= 4
        return found

    def _weigh_by_nearest(self, found, neighbours, scores, groups, numbers):
        """Fill in the weights by each number of neighbours above 0."""
        summed = self._what_is_summed()
        lightest = np.cumsum(np.sort(self.known_weight_))
        most = int(np.searchsorted(lightest, numbers.max())) + 1
        most = min(most, len(lightest))  # any so many weigh enough
        for start in range(0, len(scores), neighbours.at_once):
            part = slice(start, start + neighbours.at_once)
            own = None if groups is None else groups[part]
            order, distance = neighbours.nearest(scores[part], most, own)
            weight = np.where(np.isfinite(distance), self.known_weight_[order], 0.0)
            before = np.cumsum(weight, axis=1) - weight
            for local, number in zip(found, numbers, strict=True):
                if number == 0:
                    continue
                share = np.clip(number - before, 0, weight)
                n_used = max(int((share > 0).sum(axis=1).max(initial=0)), 1)
                near, share = order[:, :n_used], share[:, :n_used]
                if self.competence == "eliminate":
                    local[part] = self._longest_right(near, share)
                else:
                    local[part] = self._from_sums(_sums(near, share, summed))

    def _what_is_summed(self):
        """Return what of each known video is summed over neighbours."""
        if self.competence == "union":
            return self.known_right_
        return np.hstack([~np.isnan(self.known_scores_), self.known_losses_])

    def _from_sums(self, sums):
        """Return each detector's weight, shape (n_videos, n_detectors)."""
        if self.competence == "union":
            return sums
        total, loss = np.split(sums, 2, axis=1)
        known = total > 0
        mean = np.divide(loss, total, out=np.zeros(loss.shape), where=known)
        least = mean.min(axis=1, keepdims=True, where=known, initial=np.inf)
        ahead = np.where(known, mean - least, 0.0)
        return np.where(known, np.exp(-self.sharpness * ahead), 0.0)

    def _longest_right(self, neighbours, share):
        """Return 1 for the detectors that err farthest from the video, else 0."""
        has_score = ~np.isnan(self.known_scores_[neighbours])
        wrong = has_score & (self.known_right_[neighbours] == 0)
        wrong &= (share > 0)[:, :, None]
        in_a_row = np.where(
            wrong.any(axis=1), wrong.argmax(axis=1), (share > 0).sum(axis=1)[:, None]
        )
        most = in_a_row.max(axis=1, keepdims=True)
        return ((in_a_row == most) & (most > 0)).astype(float)

    def _mean(self, scores, weights):
        combined = (np.nan_to_num(scores) * weights).sum(axis=1)
        return combined if self._as_is() else expit(combined)

    def _as_is(self):
        return self.scale_["name"] in ("probability", "rank")

    def _check_parameters(self):
        if self.competence not in _COMPETENCES:
            raise ValueError(
                f"unknown competence {self.competence!r}; expected 'log_loss', 'union' "
                "or 'eliminate'" + did_you_mean(self.competence, _COMPETENCES)
            )
        number = self.n_neighbors
        is_auto = isinstance(number, str) and number == "auto"
        if not is_auto and not (is_number(number) and number > 0):
            raise ValueError(
                f"n_neighbors must be a number above 0 or 'auto'; got {number!r}"
            )
        if not (is_number(self.sharpness) and 0 <= self.sharpness < np.inf):
            raise ValueError(
                f"sharpness must be >= 0 and finite; got {self.sharpness!r}"
            )


def _sums(neighbours, share, values):
    """Sum the values of each video's neighbours, by their shares."""
    ends = np.arange(0, neighbours.size + 1, neighbours.shape[1])
    shape = (len(neighbours), len(values))
    return csr_array((share.ravel(), neighbours.ravel(), ends), shape=shape) @ values
