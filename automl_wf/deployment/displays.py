"""Displays for notebooks, as scikit-learn has them: each holds figures that a fit measured, and `plot` draws them.

matplotlib is imported when something is drawn. Curves that scikit-learn draws already are drawn by scikit-learn:
`out_of_fold_roc`, `out_of_fold_precision_recall` and `out_of_fold_errors` hand it the out-of-fold predictions; on other
rows, `RocCurveDisplay.from_estimator(model, X, y)` and the like work as for any estimator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput, InvalidParameter, MissingDependency

Floats = NDArray[np.float64]


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise MissingDependency("Displays are drawn by matplotlib: pip install 'automl-wf[plots]'") from error
    return plt


def _measured(value: Any, what: str) -> Any:
    """The facts, or an error that says why there are none."""
    status = "not measured" if value is None else getattr(value, "status", "measured")
    if status != "measured":
        raise InvalidInput(f"There is nothing to draw: {what} of this fit: {status}.")
    return value


def _columns(rows: Sequence[Any], *names: str) -> list[Floats]:
    """Fields of rows as arrays; None becomes NaN."""
    return [np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in names]


@dataclass
class _Display:
    """What all displays share: axes to draw on, and where they are found afterwards."""

    figure_: Any = field(default=None, init=False, repr=False)
    ax_: Any = field(default=None, init=False, repr=False)

    def _axes(self, ax: Any) -> Any:
        if ax is None:
            _, ax = _pyplot().subplots(layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        return ax


@dataclass
class SearchHistoryDisplay(_Display):
    """Scores of the trials in their order, and the best so far.

    Parameters
    ----------
    number : ndarray of shape (n_trials,)
        Place of each trial that has a score.
    score, best : ndarray of shape (n_trials,)
        Its score, and the best up to it, in the natural form of the score.
    source : sequence of str
        Where its configuration came from: "baseline", "portfolio" or "asked".
    label : str
        The score in words.

    See Also
    --------
    LeaderboardDisplay : The best configurations beside each other.
    """

    number: NDArray[np.int64]
    score: Floats
    best: Floats
    source: Sequence[str]
    label: str

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the search of a fitted estimator.

        Parameters
        ----------
        estimator : WorkflowEstimator
            A fitted one.
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        SearchHistoryDisplay
            The display, drawn.
        """
        check_is_fitted(estimator)
        rows, scoring = estimator.history_.dropna(subset="score"), estimator.problem_.scoring
        display = cls(
            rows["number"].to_numpy(np.int64),
            np.array([scoring.natural(s) for s in rows["score"]]),
            np.array([scoring.natural(s) for s in rows["best_score"]]),
            rows["source"].tolist(),
            scoring.label,
        )
        return display.plot(ax)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to `scatter`.

        Returns
        -------
        SearchHistoryDisplay
            This display.
        """
        ax = self._axes(ax)
        for source in dict.fromkeys(self.source):
            rows = np.array([s == source for s in self.source])
            ax.scatter(self.number[rows], self.score[rows], **{"s": 22, "label": source, **kwargs})
        ax.step(self.number, self.best, where="post", color="0.4", label="best so far")
        ax.set(xlabel="Trial", ylabel=self.label)
        ax.legend()
        return self


@dataclass
class LeaderboardDisplay(_Display):
    """The best configurations, with the spread of their folds.

    Parameters
    ----------
    model : sequence of str
        Names, the best first.
    score, spread : ndarray of shape (n_rows,)
        Scores in their natural form, and standard deviation over the folds.
    weight : ndarray of shape (n_rows,)
        Weight in the ensemble; 0 for those outside.
    label : str
        The score in words.

    See Also
    --------
    SearchHistoryDisplay : All configurations in the order of the search.
    """

    model: Sequence[str]
    score: Floats
    spread: Floats
    weight: Floats
    label: str

    @classmethod
    def from_estimator(cls, estimator: Any, *, max_rows: int = 15, ax: Any = None) -> Self:
        """Draw the leaderboard of a fitted estimator.

        Parameters
        ----------
        estimator : WorkflowEstimator
            A fitted one.
        max_rows : int, default=15
            Most configurations shown.
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        LeaderboardDisplay
            The display, drawn.
        """
        check_is_fitted(estimator)
        rows, scoring = estimator.leaderboard_.dropna(subset="score").head(max_rows), estimator.problem_.scoring
        display = cls(
            rows["model"].tolist(),
            np.array([scoring.natural(s) for s in rows["score"]]),
            rows["score_std"].to_numpy(np.float64),
            rows["weight"].to_numpy(np.float64),
            scoring.label,
        )
        return display.plot(ax)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to `errorbar`.

        Returns
        -------
        LeaderboardDisplay
            This display.
        """
        ax = self._axes(ax)
        places, is_member = np.arange(len(self.score)), self.weight > 0
        for rows, label, color in ((is_member, "in the ensemble", "C0"), (~is_member, "not in it", "0.6")):
            if rows.any():
                style = {"fmt": "o", "color": color, "label": label, **kwargs}
                ax.errorbar(self.score[rows], places[rows], xerr=self.spread[rows], **style)
        ax.set(xlabel=f"{self.label}, ± standard deviation over folds", yticks=places, yticklabels=self.model)
        ax.invert_yaxis()
        ax.legend()
        return self


@dataclass
class CalibrationDisplay(_Display):
    """Observed frequency against predicted probability, with 95 % intervals.

    Parameters
    ----------
    predicted, observed, low, high : ndarray of shape (n_bins,)
        Mean probability of each bin, how often the event happened, and the ends of its interval.
    event : str
        What the probability is of.
    error : float
        Mean distance of both.

    See Also
    --------
    out_of_fold_roc : How well the classes are told apart, whatever the probabilities say.
    """

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    event: str
    error: float

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the calibration of the out-of-fold probabilities of a fitted estimator.

        Parameters
        ----------
        estimator : WorkflowEstimator
            A fitted one.
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        CalibrationDisplay
            The display, drawn.

        Raises
        ------
        InvalidInput
            The estimator predicts no probabilities.
        """
        check_is_fitted(estimator)
        facts = _measured(estimator.evaluation_.calibration, "the calibration")
        predicted, observed, low, high = _columns(facts.bins, "predicted", "observed", "low", "high")
        event = facts.event if facts.label is None else str(facts.label)
        return cls(predicted, observed, low, high, event, facts.error).plot(ax)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to `errorbar`.

        Returns
        -------
        CalibrationDisplay
            This display.
        """
        ax = self._axes(ax)
        ax.plot([0, 1], [0, 1], "--", color="0.6", label="what is said is what happens")
        error = np.stack([self.observed - self.low, self.high - self.observed]).clip(min=0.0)
        style = {"fmt": "o-", "label": f"out of fold, mean distance {self.error:.3g}", **kwargs}
        ax.errorbar(self.predicted, self.observed, yerr=error, **style)
        ax.set(xlabel=f"Predicted probability of {self.event}", ylabel="Observed frequency")
        ax.legend()
        return self


@dataclass
class LearningCurveDisplay(_Display):
    """Score by number of training rows, and what twice the rows are expected to bring.

    Parameters
    ----------
    n_rows, score : ndarray of shape (n_points,)
        Training rows, and the score in its natural form.
    twice : int
        Twice the rows of the last point.
    expected : (low, middle, high) or None
        The score expected there with its 95 % interval; None: no power law could be fitted.
    label, sentence : str
        The score, and the verdict, in words.

    See Also
    --------
    ImportanceDisplay : Which columns the score comes from.
    """

    n_rows: NDArray[np.int64]
    score: Floats
    twice: int
    expected: tuple[float, float, float] | None
    label: str
    sentence: str

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the learning curve of the heaviest member of a fitted estimator.

        Parameters
        ----------
        estimator : WorkflowEstimator
            A fitted one.
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        LearningCurveDisplay
            The display, drawn.

        Raises
        ------
        InvalidInput
            It was not measured; the message says why.
        """
        check_is_fitted(estimator)
        facts = _measured(estimator.evaluation_.learning_curve, "the learning curve")
        points = [p for p in facts.points if p.score is not None]
        ends = (facts.at_twice_low, facts.at_twice, facts.at_twice_high)
        display = cls(
            np.array([p.n_rows for p in points], dtype=np.int64),
            np.array([p.score for p in points], dtype=np.float64),
            facts.twice,
            None if None in ends else ends,
            facts.label,
            facts.sentence,
        )
        return display.plot(ax)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to `plot` of the measured part.

        Returns
        -------
        LearningCurveDisplay
            This display.
        """
        ax = self._axes(ax)
        ax.plot(self.n_rows, self.score, "o-", **{"label": "measured", **kwargs})
        if self.expected is not None:
            low, middle, high = self.expected
            error = [[max(middle - low, 0.0)], [max(high - middle, 0.0)]]
            ax.errorbar([self.twice], [middle], yerr=error, fmt="o", color="0.5", label="expected, 95 % interval")
        ax.set(xlabel="Training rows", ylabel=self.label, title=self.sentence)
        ax.title.set_wrap(True)
        ax.legend()
        return self


@dataclass
class ImportanceDisplay(_Display):
    """Permutation importance of the input columns, with 95 % intervals.

    Parameters
    ----------
    column : sequence of str
        Names, the most important first.
    mean, low, high : ndarray of shape (n_columns,)
        How much worse the score gets, and the ends of the interval; NaN where there is none.
    label : str
        The score in words.

    See Also
    --------
    DependenceDisplay : What the model makes of these columns.
    """

    column: Sequence[str]
    mean: Floats
    low: Floats
    high: Floats
    label: str

    @classmethod
    def from_estimator(cls, estimator: Any, *, max_columns: int = 20, ax: Any = None) -> Self:
        """Draw the importances of a fitted estimator.

        Parameters
        ----------
        estimator : WorkflowEstimator
            A fitted one.
        max_columns : int, default=20
            Most columns shown.
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        ImportanceDisplay
            The display, drawn.

        Raises
        ------
        InvalidInput
            No column was measured.
        """
        check_is_fitted(estimator)
        facts = estimator.interpretation_
        rows = [row for row in facts.importances if row.mean is not None][:max_columns]
        _measured(rows or None, "the importances")
        mean, low, high = _columns(rows, "mean", "low", "high")
        return cls([row.column for row in rows], mean, low, high, facts.label).plot(ax)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to `barh`.

        Returns
        -------
        ImportanceDisplay
            This display.
        """
        ax = self._axes(ax)
        places = np.arange(len(self.mean))
        error = np.stack([self.mean - self.low, self.high - self.mean]).clip(min=0.0)
        ax.barh(places, self.mean, **{"xerr": error, "color": "C0", "ecolor": "0.3", "alpha": 0.7, **kwargs})
        ax.axvline(0, color="0.6", linewidth=1)
        ax.set(xlabel=f"{self.label} worse by, 95 % interval", yticks=places, yticklabels=self.column)
        ax.invert_yaxis()
        return self


@dataclass
class DependenceDisplay(_Display):
    """Mean prediction of the final ensemble as one column takes other values, and single rows behind it.

    Parameters
    ----------
    column, kind : str
        Its name and kind.
    values : sequence
        The values it was given.
    at : ndarray of shape (n_values,)
        Their places on the axis.
    mean : ndarray of shape (n_outputs, n_values)
        Mean prediction of each output.
    lines : ndarray of shape (n_rows, n_values)
        Predictions of single rows, for the first output.
    outputs : sequence of str
        What the means are of.

    See Also
    --------
    ImportanceDisplay : How much the columns matter.
    """

    column: str
    kind: str
    values: Sequence[Any]
    at: Floats
    mean: Floats
    lines: Floats
    outputs: Sequence[str]

    @classmethod
    def from_estimator(cls, estimator: Any, column: str | None = None, *, ax: Any = None) -> Self:
        """Draw the partial dependence of a fitted estimator on one column.

        Parameters
        ----------
        estimator : WorkflowEstimator
            A fitted one.
        column : str, default=None
            One of the most important columns; None: the most important one.
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        DependenceDisplay
            The display, drawn.

        Raises
        ------
        InvalidInput
            Partial dependence was not measured; the message says why.
        InvalidParameter
            It was not measured of this column; those it was are named.
        """
        check_is_fitted(estimator)
        facts = _measured(estimator.interpretation_.partial_dependence, "partial dependence")
        drawn = {row.column: row for row in facts.columns}
        name = next(iter(drawn), None) if column is None else column
        if name not in drawn:
            raise InvalidParameter(f"The 'column' parameter must be one of {sorted(drawn)}. Got {column!r} instead.")
        row = drawn[name]
        lines = np.array(row.lines, dtype=np.float64).reshape(-1, len(row.at))
        return cls(row.column, row.kind, row.values, np.array(row.at), np.array(row.mean), lines, facts.outputs).plot(
            ax
        )

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to `plot` of the means.

        Returns
        -------
        DependenceDisplay
            This display.
        """
        ax = self._axes(ax)
        if len(self.mean) == 1 and len(self.lines):
            ax.plot(self.at, self.lines.T, color="0.8", linewidth=0.6)
        for mean, output in zip(self.mean, self.outputs, strict=True):
            ax.plot(self.at, mean, **{"label": output, "linewidth": 2, **kwargs})
        ax.set(xlabel=self.column, ylabel="Prediction")
        if self.kind not in ("numeric", "datetime"):
            names = ["missing" if value is None else str(value) for value in self.values]
            ax.set_xticks(self.at, names, rotation=30, ha="right")
        if len(self.outputs) > 1:
            ax.legend()
        return self


@dataclass
class SlicesDisplay(_Display):
    """Slices of the input with larger errors than elsewhere, confirmed on rows that had no part in finding them.

    Parameters
    ----------
    where : sequence of str
        The slices in words.
    difference, low, high : ndarray of shape (n_slices,)
        How much greater the mean loss is inside, with a 95 % interval.
    loss : str
        What is averaged, in words.

    See Also
    --------
    LearningCurveDisplay : Whether more rows would help.
    """

    where: Sequence[str]
    difference: Floats
    low: Floats
    high: Floats
    loss: str

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the error slices of a fitted estimator.

        Parameters
        ----------
        estimator : WorkflowEstimator
            A fitted one.
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        SlicesDisplay
            The display, drawn; without bars where no slice was confirmed.

        Raises
        ------
        InvalidInput
            Slices were not looked for; the message says why.
        """
        check_is_fitted(estimator)
        facts = _measured(estimator.evaluation_.slices, "error slices")
        difference, low, high = _columns(facts.rows, "difference", "low", "high")
        return cls([row.where for row in facts.rows], difference, low, high, facts.loss).plot(ax)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to `errorbar`.

        Returns
        -------
        SlicesDisplay
            This display.
        """
        ax = self._axes(ax)
        places = np.arange(len(self.difference))
        error = np.stack([self.difference - self.low, self.high - self.difference]).clip(min=0.0)
        ax.errorbar(self.difference, places, xerr=error, **{"fmt": "o", **kwargs})
        ax.axvline(0, color="0.6", linewidth=1)
        title = "" if len(places) else "No slice was confirmed"
        ax.set(xlabel=f"{self.loss} greater by, 95 % interval", yticks=places, yticklabels=self.where, title=title)
        ax.invert_yaxis()
        return self


def out_of_fold_roc(estimator: Any, **kwargs: Any) -> Any:
    """scikit-learn's ROC curve of the out-of-fold probabilities of a binary fit.

    Parameters
    ----------
    estimator : WorkflowEstimator
        A fitted one.
    **kwargs : dict
        Passed to `RocCurveDisplay.from_predictions`, `ax` among them.

    Returns
    -------
    RocCurveDisplay
        Drawn.

    Raises
    ------
    InvalidInput
        There are not two classes, or the estimator was read from a package, which holds no evidence.
    """
    _pyplot()
    from sklearn.metrics import RocCurveDisplay

    return RocCurveDisplay.from_predictions(**_binary_evidence(estimator), **{"name": "out of fold", **kwargs})


def out_of_fold_precision_recall(estimator: Any, **kwargs: Any) -> Any:
    """scikit-learn's precision-recall curve of the out-of-fold probabilities of a binary fit.

    Parameters
    ----------
    estimator : WorkflowEstimator
        A fitted one.
    **kwargs : dict
        Passed to `PrecisionRecallDisplay.from_predictions`, `ax` among them.

    Returns
    -------
    PrecisionRecallDisplay
        Drawn.

    Raises
    ------
    InvalidInput
        There are not two classes, or the estimator was read from a package, which holds no evidence.
    """
    _pyplot()
    from sklearn.metrics import PrecisionRecallDisplay

    return PrecisionRecallDisplay.from_predictions(**_binary_evidence(estimator), **{"name": "out of fold", **kwargs})


def out_of_fold_errors(estimator: Any, **kwargs: Any) -> Any:
    """scikit-learn's drawing of residuals, or of truth against prediction, of the out-of-fold predictions.

    Parameters
    ----------
    estimator : WorkflowEstimator
        A fitted regression.
    **kwargs : dict
        Passed to `PredictionErrorDisplay.from_predictions`: `kind`, `subsample`, `ax` …

    Returns
    -------
    PredictionErrorDisplay
        Drawn.

    Raises
    ------
    InvalidInput
        The estimator is no regression, or was read from a package, which holds no evidence.
    """
    _pyplot()
    from sklearn.metrics import PredictionErrorDisplay

    evidence = _evidence(estimator, Task.REGRESSION, "a regression")
    return PredictionErrorDisplay.from_predictions(
        evidence["y"], evidence["prediction"], **{"random_state": 0, **kwargs}
    )


def _evidence(estimator: Any, task: Task, what: str) -> Any:
    """Truth and out-of-fold predictions."""
    check_is_fitted(estimator)
    if estimator.task_ is not task:
        raise InvalidInput(
            f"There is nothing to draw: {what} was expected, got a fit of the task {estimator.task_.value}."
        )
    evidence = estimator._result.evidence
    if "prediction" not in evidence:
        raise InvalidInput(
            "There is nothing to draw: an estimator read from a package holds no out-of-fold predictions. "
            "Use scikit-learn's from_estimator with rows of your own."
        )
    return evidence


def _binary_evidence(estimator: Any) -> dict[str, Any]:
    evidence, positive = _evidence(estimator, Task.BINARY, "two classes"), estimator.problem_.positive
    return {
        "y_true": (evidence["y"] == positive).astype(int),
        "y_score": evidence["prediction"][:, positive],
        "sample_weight": evidence.get("weight"),
        "pos_label": 1,
    }
