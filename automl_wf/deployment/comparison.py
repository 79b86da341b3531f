"""Champion against challenger: two packages on the same labelled rows, and whether one should replace the other."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom, ttest_1samp

from automl_wf.core.fingerprint import fingerprint_in_any_order
from automl_wf.core.frame import read_file, read_table
from automl_wf.core.metrics import Metric, Scoring, cost_scoring, resolve_scoring, scoring_names
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.deployment.evidence import Evidence
from automl_wf.deployment.loading import LoadedModel
from automl_wf.deployment.registry import changed_input, identity
from automl_wf.deployment.verify import verify
from automl_wf.evaluation.bias_correction import sample_rows
from automl_wf.evaluation.held_out import draw_counts, row_losses
from automl_wf.evaluation.scores import Held
from automl_wf.evaluation.slices import bin_column, holm
from automl_wf.exceptions import InvalidInput, PackageError, UnknownCategoryWarning
from automl_wf.problem_definition.target import encode_labels

Status = Literal["pass", "fail", "undecided"]
N_DRAWS, MAX_ROWS = 1_000, 5_000
#: Rows that a slice must have, and how sure one must be that it got worse, over all slices.
MIN_SLICE, ALPHA = 50, 0.05
#: The new model may take so many times as long as the old one; a difference of fewer milliseconds a row is let pass:
#: a service takes several for a request whatever the model is.
SLOWER, LEAST_MS = 1.5, 0.1
#: Share of the rows that a model may have been fitted on, beyond what equal rows make of it.
KNOWN_SHARE = 0.01
_TIMED_ROWS, _REPEATS, _DRAWS_AT_ONCE = 100, 7, 100


@dataclass(frozen=True)
class Side:
    """One of the two packages.

    Parameters
    ----------
    path, name, version, sha256 : str
        Where it is, what it is called, and the hash of its manifest.
    score : float
        The metric on the rows, in its natural form.
    row_ms : float
        Median milliseconds to predict a hundred rows, per row.
    """

    path: str
    name: str
    version: str
    sha256: str
    score: float
    row_ms: float


@dataclass(frozen=True)
class Gate:
    """One condition of a promotion.

    Parameters
    ----------
    name : str
        What is asked.
    status : {"pass", "fail", "undecided"}
        How it came out.
    reason : str
        In words, with figures.
    """

    name: str
    status: Status
    reason: str


@dataclass(frozen=True)
class Slice:
    """Rows that share something, and how much more the new model loses on them than the old one.

    Parameters
    ----------
    column, where : str
        The column, and in words what they share.
    n_rows : int
        How many.
    loss_change : float
        Mean loss of the new model less that of the old one: above zero it is worse.
    p_value : float
        Chance of at least such a change if neither were worse, corrected for the number of slices (Holm).
    """

    column: str
    where: str
    n_rows: int
    loss_change: float
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """What came of it; `to_dict` is the content of promotion.json.

    Parameters
    ----------
    old, new : Side
        The packages.
    metric : str
        In words.
    greater_is_better : bool
        Direction of the metric.
    n_rows : int
        Rows compared on.
    rows_sha256 : str
        Hash of the rows and their labels.
    gain : float
        How much better the new model is, in units of the metric; below zero it is worse.
    interval : (float, float)
        95 % interval of the gain, by the paired bootstrap.
    margin : float
        Loss that is accepted.
    slices : tuple of Slice
        Slices that got worse beyond chance.
    gates : tuple of Gate
        Every condition.
    verdict : {"promote", "keep", "undecided"}
        "promote" only if every gate passes.
    """

    old: Side
    new: Side
    metric: str
    greater_is_better: bool
    n_rows: int
    rows_sha256: str
    gain: float
    interval: tuple[float, float]
    margin: float
    slices: tuple[Slice, ...]
    gates: tuple[Gate, ...]
    verdict: Literal["promote", "keep", "undecided"]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"format": 1, **json.loads(json.dumps(asdict(self)))}


def compare_packages(
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    data: Any,
    *,
    group: str | None = None,
    margin: float = 0.0,
    max_slower: float = SLOWER,
    seed: int = 0,
) -> Comparison:
    """Compare two packages on labelled rows that neither was trained on.

    Parameters
    ----------
    old, new : path
        Packages of the same task, columns and classes.
    data : DataFrame or path
        Rows with the target in a column of its name; CSV or Parquet.
    group : str, default=None
        Column of the queries when ranking; rows of one value are resampled together.
    margin : float, default=0.0
        Loss in units of the metric that is accepted, for a new model that is better in another way.
    max_slower : float, default=1.5
        How many times as long as the old model the new one may take to predict; 0.1 ms a row more is always let pass.
    seed : int, default=0
        Seed of the bootstrap.

    Returns
    -------
    Comparison
        Scores, the gain with its interval, slices that got worse, time to predict, and the verdict.

    Raises
    ------
    PackageError
        A package cannot be opened, or the two cannot take each other's place.
    InvalidInput
        The data lack the target or the group, or hold classes that the models do not know.

    References
    ----------
    B. Efron and R. J. Tibshirani (1993). An introduction to the bootstrap, chapter 13 (percentile interval), on the
    differences of both models' scores on the same draws.
    S. Holm (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6, 65.
    """
    folders = (Path(old), Path(new))
    models = tuple(LoadedModel(folder) for folder in folders)
    changed = changed_input(*folders)
    if changed:
        raise PackageError(f"{new} cannot take the place of {old}: {'; '.join(changed[:5])}.")
    facts = Evidence(folders[0]).facts
    task = Task(facts["task"])
    scoring = _scoring(Evidence(folders[0]), task)
    frame = data.reset_index(drop=True) if isinstance(data, pd.DataFrame) else read_file(data)
    y, query = _labels(frame, facts, models[0], task), _groups(frame, group)
    X = frame.drop(columns=[c for c in (facts["target"], group) if c in frame.columns])
    rules = [Evidence(folder).rule for folder in folders]
    held = [Held(task, y, _predict(m, X, task), None, query, r) for m, r in zip(models, rules, strict=True)]
    metric = _metric(scoring, task)
    sign = 1.0 if metric.greater_is_better else -1.0
    scores = [float(h.measure(metric, scoring.pos_index)) for h in held]
    gains = sign * _drawn_gains(held, metric, scoring.pos_index, seed)
    interval = (float(np.quantile(gains, 0.025)), float(np.quantile(gains, 0.975)))
    slices = _slices(models[0], X, held)
    times = _row_ms(models, X)
    sides = [_side(f, m, s, t) for f, m, s, t in zip(folders, models, scores, times, strict=True)]
    gates = (
        _intact(folders[1]),
        _gain_gate(interval, margin),
        *(() if slices is None else (_slice_gate(slices),)),
        _time_gate(sides, max_slower, models[1].config["limits"].get("max_seconds_per_row")),
        _rows_gate(folders, models, X),
    )
    return Comparison(
        old=sides[0],
        new=sides[1],
        metric=metric.label,
        greater_is_better=metric.greater_is_better,
        n_rows=len(y),
        rows_sha256=hashlib.sha256(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()).hexdigest(),
        gain=sign * (scores[1] - scores[0]),
        interval=interval,
        margin=margin,
        slices=slices or (),
        gates=gates,
        verdict=_verdict(gates),
    )


def worse_slices(table: Table, change: NDArray[np.float64]) -> tuple[Slice, ...]:
    """Slices of one column on which the mean of `change` is above zero beyond chance.

    Parameters
    ----------
    table : Table
        The rows: quantile bins of numbers and times, and the commonest categories, as for error slices.
    change : ndarray of shape (n_rows,)
        Loss of the new model less that of the old one.

    Returns
    -------
    tuple of Slice
        By a one-sided t-test of the mean at 5 % over all slices (Holm), most certain first.
    """
    found = []
    for column in table.schema.used:
        binned = bin_column(column, table.cells[column.position], MIN_SLICE)
        if binned is None:
            continue
        for code in range(binned.n_slices):
            values = change[binned.codes == code]
            if len(values) >= MIN_SLICE:
                about = (column.name, binned.describe(code), len(values), float(values.mean()))
                found.append(Slice(*about, _p_value(values)))
    corrected = holm([s.p_value for s in found]).tolist()
    certain = [replace(s, p_value=p) for s, p in zip(found, corrected, strict=True) if p <= ALPHA]
    return tuple(sorted(certain, key=lambda s: s.p_value))


def _p_value(values: NDArray[np.float64]) -> float:
    """Chance of so large a mean if it is zero in truth."""
    if np.ptp(values) == 0.0:
        return float(values[0] <= 0.0)
    return float(ttest_1samp(values, 0.0, alternative="greater").pvalue)


def _scoring(evidence: Evidence, task: Task) -> Scoring:
    """The metric of the earlier package, its costs included."""
    facts, business = evidence.facts, evidence.business
    name = facts["problem"].get("scoring")
    if business is not None and business.optimise == "cost" and business.costs is not None:
        return cost_scoring(business.costs, task, facts["pos_index"], is_final=True)
    return resolve_scoring(name if name in scoring_names(task) else None, task, pos_index=facts["pos_index"])


def _metric(scoring: Scoring, task: Task) -> Metric:
    found = scoring.metric or resolve_scoring(None, task, pos_index=scoring.pos_index).metric
    assert found is not None, "every task's default is a row of METRICS"
    return found


def _labels(frame: pd.DataFrame, facts: dict[str, Any], model: LoadedModel, task: Task) -> NDArray[Any]:
    name = facts["target"]
    if name not in frame.columns:
        raise InvalidInput(f"The rows lack the target {name!r}; there are {', '.join(map(repr, frame.columns[:20]))}.")
    values = frame[name]
    if values.isna().any():
        raise InvalidInput(f"The target {name!r} is missing in {int(values.isna().sum())} rows. Leave them out.")
    if not task.is_classification or model.classes_ is None:
        return np.asarray(values, dtype=np.float64)
    return encode_labels(values, model.classes_)


def _groups(frame: pd.DataFrame, group: str | None) -> NDArray[np.int64] | None:
    if group is None:
        return None
    if group not in frame.columns:
        raise InvalidInput(f"The rows lack the column {group!r} that should hold the groups.")
    return np.asarray(pd.factorize(frame[group])[0], dtype=np.int64)


def _predict(model: LoadedModel, X: pd.DataFrame, task: Task) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownCategoryWarning)
        return model.predict_proba(X) if task.is_classification else np.asarray(model.predict(X), dtype=np.float64)


def _slices(model: LoadedModel, X: pd.DataFrame, held: Sequence[Held]) -> tuple[Slice, ...] | None:
    """Slices that got worse; None for a ranking, whose rows have no loss of their own."""
    losses = [measured[0] for h in held if (measured := row_losses(h)) is not None]
    if len(losses) < len(held):
        return None
    return worse_slices(read_table(X, model.schema, owner="compare"), losses[1] - losses[0])


def _drawn_gains(held: Sequence[Held], metric: Metric, pos_index: int, seed: int) -> NDArray[np.float64]:
    """Difference of the metric on bootstrap draws of the same rows (or groups) for both."""
    rng = np.random.default_rng(seed)
    n_rows = len(held[0].y)
    rows = sample_rows(n_rows, held[0].group, MAX_ROWS, rng)
    old, new = (h.take(rows) for h in held)
    gains = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(N_DRAWS // _DRAWS_AT_ONCE):
            counts = draw_counts(len(rows), old.group, _DRAWS_AT_ONCE, rng)
            gains.append(new.measure(metric, pos_index, counts) - old.measure(metric, pos_index, counts))
    drawn = np.concatenate(gains)
    drawn = drawn[np.isfinite(drawn)]
    # Fewer rows spread further: back to the spread that all of them have.
    return np.asarray(drawn.mean() + (drawn - drawn.mean()) * np.sqrt(len(rows) / n_rows))


def _row_ms(models: Sequence[LoadedModel], X: pd.DataFrame) -> list[float]:
    """The shortest of several times, taken by turns: other work on the machine slows both down, or neither."""
    few = X.take(np.arange(_TIMED_ROWS) % len(X)).reset_index(drop=True)
    seconds = np.empty((_REPEATS, len(models)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownCategoryWarning)
        for i, j in np.ndindex(seconds.shape):
            start = time.perf_counter()
            models[j].predict(few)
            seconds[i, j] = time.perf_counter() - start
    return [float(s) for s in 1e3 * seconds.min(axis=0) / _TIMED_ROWS]


def _side(folder: Path, model: LoadedModel, score: float, row_ms: float) -> Side:
    return Side(str(folder), model.config["name"], str(model.config["version"]), identity(folder), score, row_ms)


def _intact(folder: Path) -> Gate:
    report = verify(folder)
    if report.ok:
        return Gate("package_verified", "pass", f"{len(report.checks)} checks")
    return Gate("package_verified", "fail", f"{report.wrong[0].subject}: {report.wrong[0].reason}")


def _gain_gate(interval: tuple[float, float], margin: float) -> Gate:
    low, high = interval
    least = f"a loss of at most {margin:.4g}" if margin else "a gain"
    words = f"gain between {low:.4g} and {high:.4g} (95 %), {least} is asked for"
    status: Status = "pass" if low > -margin else "fail" if high < -margin else "undecided"
    return Gate("score", status, words)


def _slice_gate(slices: Sequence[Slice]) -> Gate:
    if not slices:
        return Gate("no_worse_slice", "pass", "no slice got worse beyond chance")
    named = "; ".join(f"{s.where} ({s.n_rows} rows)" for s in slices[:3])
    return Gate("no_worse_slice", "fail", f"{len(slices)} got worse: {named}")


def _time_gate(sides: Sequence[Side], max_slower: float, limit_s: float | None) -> Gate:
    old, new = sides
    most = max(max_slower * old.row_ms, old.row_ms + LEAST_MS)
    if limit_s is not None:
        most = min(most, 1e3 * limit_s)
    words = f"{new.row_ms:.4g} ms a row, {old.row_ms:.4g} before; at most {most:.4g} is asked for"
    return Gate("time_to_predict", "fail" if new.row_ms > most else "pass", words)


def _rows_gate(folders: Sequence[Path], models: Sequence[LoadedModel], X: pd.DataFrame) -> Gate:
    """Rows that a model was fitted on flatter it."""
    statuses, words = [], []
    for folder, model in zip(folders, models, strict=True):
        status, reason = _judge_rows(folder, read_table(X, model.schema, owner="compare"))
        statuses.append(status)
        words.append(reason)
    return Gate("rows_are_new", "undecided" if "undecided" in statuses else "pass", "; ".join(words))


def _judge_rows(folder: Path, table: Table) -> tuple[Status, str]:
    """Whether the rows are new to a package, beyond those that equal one of its training rows by chance."""
    evidence = Evidence(folder)
    if fingerprint_in_any_order(table.cells) == evidence.facts["problem"]["fingerprint"]["any_order"]:
        return "undecided", f"they are the rows that {folder} was fitted on: give others"
    sketch = evidence.row_sketch
    is_known = None if sketch is None else sketch.find(table.cells)
    if sketch is None or is_known is None or not len(is_known):
        return "undecided", f"whether {folder} was fitted on some of them cannot be told: it keeps no hashes of them"
    n, n_known, by_chance = len(is_known), int(is_known.sum()), sketch.repeated
    words = f"{folder} was fitted on {100 * n_known / n:.3g} % of them"
    if n < table.n_rows:
        words += f" (of {n} that could be looked up)"
    if by_chance:
        words += f"; {100 * by_chance:.3g} % are expected by chance, as so many of its own rows equal another"
    if binom.sf(n_known - 1, n, min(by_chance + KNOWN_SHARE, 1.0)) <= ALPHA:
        return "undecided", f"{words}: give rows that are new"
    return "pass", words


def _verdict(gates: Sequence[Gate]) -> Literal["promote", "keep", "undecided"]:
    statuses = {gate.status for gate in gates}
    if statuses == {"pass"}:
        return "promote"
    return "keep" if "fail" in statuses else "undecided"
