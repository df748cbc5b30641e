"""How a class that breaks a contract is told what it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone


class ContractError(AssertionError):
    """A class breaks the contract of detectors or of combiners.

    Parameters
    ----------
    subject : object
        The detector or combiner.
    check : str
        What was looked at, such as "order of the videos".
    expected, got : str
    advice : str, default=""
        What to do.

    Attributes
    ----------
    check : str
    expected : str
    got : str

    Examples
    --------
    >>> from base_models.testing import ContractError
    >>> print(ContractError("Mine()", "scores", "P(fake) within 0 to 1", "1.5"))
    Mine(), scores: expected P(fake) within 0 to 1; got 1.5
    """

    def __init__(
        self, subject: Any, check: str, expected: str, got: str, advice: str = ""
    ) -> None:
        self.check, self.expected, self.got = check, expected, got
        name = subject if isinstance(subject, str) else type(subject).__name__
        text = f"{name}, {check}: expected {expected}; got {got}"
        super().__init__(f"{text}. {advice}" if advice else text)


class Trial:
    """One estimator under check, and what its checks share.

    Parameters
    ----------
    estimator : estimator
        Unfitted; it is cloned.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fail(self, check: str, expected: str, got: Any, advice: str = "") -> None:
        """Say that the contract is broken.

        Raises
        ------
        ContractError
        """
        raise ContractError(self.estimator, check, expected, str(got), advice)

    @contextmanager
    def doing(self, check: str, what: str, advice: str = "") -> Iterator[None]:
        """Turn any error inside into one that says what was done when it came."""
        try:
            yield
        except ContractError:
            raise
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            raise ContractError(self.estimator, check, what, got, advice) from error

    def refuses(
        self, check: str, what: str, call: Any, errors: Any, advice: str = ""
    ) -> None:
        """Fail where a call raises none of some errors."""
        expected = " or ".join(error.__name__ for error in errors)
        try:
            call()
        except errors:
            return
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            raise ContractError(
                self.estimator, check, f"{expected} for {what}", got, advice
            ) from error
        self.fail(check, f"{expected} for {what}", "no error", advice)

    def same(
        self,
        check: str,
        what: str,
        got: ArrayLike,
        expected: ArrayLike,
        advice: str = "",
        tolerance: float = 1e-6,
    ) -> None:
        """Fail where two arrays of scores differ."""
        got, expected = np.asarray(got, float), np.asarray(expected, float)
        differs = ~np.isclose(got, expected, rtol=0, atol=tolerance, equal_nan=True)
        if differs.any():
            at = tuple(np.argwhere(differs)[0])
            self.fail(
                check,
                f"{what}: {expected[at]:.6g} for row {at[0]}",
                f"{got[at]:.6g}, and {differs.sum()} of {differs.size} differ",
                advice,
            )

    def check_parameters(self) -> None:
        """Check `get_params`, `set_params` and that a clone is the same, unfitted."""
        check = "parameters"
        advice = (
            "__init__ must store each argument under its own name, and do nothing "
            "else; derive from sklearn.base.BaseEstimator for get_params and set_params"
        )
        with self.doing(check, "get_params, set_params and sklearn's clone", advice):
            params = self.estimator.get_params(deep=False)
            copied = clone(self.estimator)
            returned = copied.set_params(**params)
        if returned is not copied:
            self.fail(check, "set_params to return self", repr(returned))
        again = copied.get_params(deep=False)
        for name, value in params.items():
            if again.get(name) is not value and repr(again.get(name)) != repr(value):
                self.fail(
                    check,
                    f"{name}={value!r} after set_params",
                    repr(again.get(name)),
                    advice,
                )

    def check_fit_keeps_parameters(self, fitted: Any, returned: Any) -> None:
        """Check what `fit` returns, and that it left the parameters alone."""
        if returned is not fitted:
            self.fail("fit", "fit to return self", repr(returned))
        before = self.seeded().get_params(deep=False)
        for name, value in fitted.get_params(deep=False).items():
            if repr(value) != repr(before[name]):
                self.fail(
                    "fit",
                    f"parameter {name!r} as it was, {before[name]!r}",
                    repr(value),
                    "what is learned goes to attributes that end in _",
                )

    def check_answer(self, fitted: Any, answer: Any, n_rows: int) -> None:
        """Check the shape and the range of `predict_proba`, and `classes_`."""
        classes = getattr(fitted, "classes_", None)
        if classes is None or list(classes) != [0, 1]:
            self.fail(
                "classes_", "array([0, 1]) after fit with labels 0 and 1", classes
            )
        table = np.asarray(answer)
        if table.shape != (n_rows, 2):
            self.fail(
                "predict_proba",
                f"shape ({n_rows}, 2), a row per video and a column per class",
                f"shape {table.shape}",
            )
        if table.dtype.kind != "f":
            self.fail("predict_proba", "floats", f"dtype {table.dtype}")
        seen = table[~np.isnan(table)]
        outside = seen[(seen < 0) | (seen > 1)]
        if len(outside):
            self.fail(
                "scores",
                "probabilities within 0 to 1",
                f"{outside[0]:.6g}",
                "bring them there by expit or predict_proba of a classifier",
            )
        off = np.abs(table.sum(axis=1) - 1)
        if (off > 1e-6).any():
            row = int(np.nanargmax(off))
            self.fail("predict_proba", "rows that sum to 1", f"{table[row].tolist()}")

    def seeded(self) -> Any:
        """Return a clone of the estimator with every open ``random_state`` set."""
        made = clone(self.estimator)
        open_seeds = {
            name: 0
            for name, value in made.get_params(deep=True).items()
            if value is None and name.rpartition("__")[2] == "random_state"
        }
        return made.set_params(**open_seeds)
