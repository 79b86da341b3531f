"""Predictions that wait for their truth, and what is said of them later: POST /v1/feedback."""

from __future__ import annotations

import json
import math
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from monitoring.performance import Labelled

from api.model import Model, Outputs
from api.problems import FieldError
from api.schemas import check_count, refuse, unusable
from api.start import StartError

Status = Literal["accepted", "duplicate", "conflict", "unknown", "expired"]
RATINGS = (1, 5)
MAX_LABELLED = 10_000
_FORMAT = 1
_ID = re.compile(r"([0-9a-f]{8,12})\.[0-9a-f]{16}\.[0-9]{1,6}")
_MEMBERS = ("prediction_id", "y_true", "rating", "outcomes")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS predictions (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at REAL NOT NULL, version TEXT NOT NULL,
    code INTEGER, value REAL, shares BLOB, lower REAL, upper REAL, in_set BLOB,
    answered REAL, y REAL, rating REAL, outcomes TEXT);
CREATE INDEX IF NOT EXISTS answered ON predictions (answered) WHERE answered IS NOT NULL;
CREATE INDEX IF NOT EXISTS at ON predictions (at);
"""


@dataclass(frozen=True)
class Feedback:
    """What one client says of one prediction.

    Parameters
    ----------
    prediction_id : str
        As the service gave it.
    y : float or None
        The truth: a class code, a value or a grade.
    rating : float or None
        How content somebody was, from 1 to 5.
    outcomes : mapping of str to float
        Amounts by KPI.
    """

    prediction_id: str
    y: float | None = None
    rating: float | None = None
    outcomes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """What became of one feedback.

    Parameters
    ----------
    status : str
        "accepted", "duplicate" (said before, alike), "conflict" (said before, otherwise), "unknown" or "expired".
    news : Feedback or None
        What was not known before.
    code : int or None
        The class that was predicted.
    value : float or None
        The value that was predicted.
    """

    status: Status
    news: Feedback | None = None
    code: int | None = None
    value: float | None = None


class FeedbackStore:
    """A bounded table of predictions, in memory or in a file that several services on one machine may share.

    Parameters
    ----------
    path : str
        ":memory:" or a file.
    max_rows : int
        Predictions kept; the oldest give way.
    ttl_s : float
        Seconds that a prediction is kept.
    clock : callable, default=time.time
        Returns seconds since 1970.

    Raises
    ------
    StartError
        The file cannot be used.
    """

    def __init__(self, path: str, max_rows: int, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self.max_rows, self.ttl_s, self._clock = max_rows, ttl_s, clock
        self._lock = threading.Lock()
        self._tidied = 0.0
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            if found not in (0, _FORMAT):
                raise StartError(
                    f"MODEL_FEEDBACK_DB, {path}, is of format {found}, expected {_FORMAT}: give another file."
                )
            # A crash may cost the last moments' predictions, never the file
            self._db.executescript(
                f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA user_version={_FORMAT}; {_SCHEMA}"
            )
        except sqlite3.Error as error:
            raise StartError(
                f"MODEL_FEEDBACK_DB, {path}, cannot be used ({error}). Give a file and a folder that may "
                "be written, or no file: then predictions wait in memory."
            ) from None

    def remember(self, outputs: Outputs, version: str) -> list[str]:
        """Keep the predictions of one request; returns an id for each."""
        now = self._clock()
        stem = f"{int(now):x}.{os.urandom(8).hex()}"
        ids = [f"{stem}.{row}" for row in range(outputs.n_rows)]
        rows = zip(ids, *_columns(outputs), strict=True)
        sql = (
            "INSERT INTO predictions (id, at, version, code, value, shares, lower, upper, in_set) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(sql, [(id_, now, version, *rest) for id_, *rest in rows])
            self._tidy(now)
        return ids

    def receive(self, all_feedback: Sequence[Feedback]) -> list[Receipt]:
        """Take what is said of predictions; one receipt for each, in the same order.

        Raises
        ------
        sqlite3.Error
            It cannot be kept: nothing of it was taken.
        """
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            return [self._receive(feedback) for feedback in all_feedback]

    def labelled(self, version: str, window_s: float) -> Labelled:
        """The latest predictions of one version whose truth came in within the window, at most `MAX_LABELLED`."""
        sql = (
            "SELECT id, code, value, shares, lower, upper, in_set, y, at FROM predictions "
            "WHERE answered >= ? AND version = ? AND y IS NOT NULL ORDER BY answered DESC LIMIT ?"
        )
        now = self._clock()
        with self._lock:
            rows = self._db.execute(sql, (now - window_s, version, MAX_LABELLED)).fetchall()
        return _labelled(rows, now)

    def n_waiting(self) -> int:
        """Predictions that are kept."""
        with self._lock:
            (n,) = self._db.execute("SELECT COUNT(*) FROM predictions").fetchone()
        return int(n)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _tidy(self, now: float) -> None:
        sql = "DELETE FROM predictions WHERE seq <= (SELECT MAX(seq) FROM predictions) - ?"
        self._db.execute(sql, (self.max_rows,))
        if now - self._tidied >= 1.0:
            self._tidied = now
            self._db.execute("DELETE FROM predictions WHERE at < ?", (now - self.ttl_s,))

    def _receive(self, feedback: Feedback) -> Receipt:
        now = self._clock()
        match = _ID.fullmatch(feedback.prediction_id)
        if match is None:
            return Receipt("unknown")
        if int(match[1], 16) < now - self.ttl_s:
            return Receipt("expired")
        sql = "SELECT seq, code, value, y, rating, outcomes FROM predictions WHERE id = ?"
        row = self._db.execute(sql, (feedback.prediction_id,)).fetchone()
        if row is None:
            return Receipt("unknown")
        seq, code, value, *known = row
        said = [
            feedback.y,
            feedback.rating,
            json.dumps(feedback.outcomes, sort_keys=True) if feedback.outcomes else None,
        ]
        if any(new is not None and old is not None and new != old for new, old in zip(said, known, strict=True)):
            return Receipt("conflict")
        is_new = [new is not None and old is None for new, old in zip(said, known, strict=True)]
        if not any(is_new):
            return Receipt("duplicate")
        sql = (
            "UPDATE predictions SET y = COALESCE(y, ?), rating = COALESCE(rating, ?), "
            "outcomes = COALESCE(outcomes, ?), answered = COALESCE(answered, ?) WHERE seq = ?"
        )
        # What y is measured over begins when it came, not when somebody rated the answer
        self._db.execute(sql, (*said, now if is_new[0] else None, seq))
        news = Feedback(
            feedback.prediction_id,
            feedback.y if is_new[0] else None,
            feedback.rating if is_new[1] else None,
            feedback.outcomes if is_new[2] else {},
        )
        return Receipt("accepted", news, code, value)


def read_feedback(payload: Any, model: Model, kpis: Sequence[str]) -> tuple[list[Feedback], bool]:
    """Read the body of POST /v1/feedback: one object, or {"feedback": [object, …]}.

    Returns
    -------
    feedback : list of Feedback
        What was said.
    is_list : bool
        Whether it came as a list.

    Raises
    ------
    Problem
        413 too many, 422 anything else that cannot be used.
    """
    is_list = isinstance(payload, dict) and set(payload) == {"feedback"}
    items = payload["feedback"] if is_list else [payload]
    if not isinstance(items, list):
        refuse([unusable("feedback", "expected a list of objects")])
    check_count(len(items), model)
    errors: list[FieldError] = []
    said = []
    for row, item in enumerate(items):
        found = _check_item(item, model, kpis)
        errors += [{**error, "row": row} for error in found] if is_list else found
        if not found:
            said.append(_feedback_of(item, model))
    refuse(errors)
    return said, is_list


def _check_item(item: Any, model: Model, kpis: Sequence[str]) -> list[FieldError]:
    if not isinstance(item, dict):
        return [{"code": "wrong_shape", "detail": "expected an object"}]
    errors: list[FieldError] = [
        {"code": "unknown_field", "field": str(name)[:100], "detail": f"expected one of {', '.join(_MEMBERS)}"}
        for name in item
        if name not in _MEMBERS
    ]
    if not isinstance(item.get("prediction_id"), str):
        errors.append(unusable("prediction_id", "expected the id that came with the prediction"))
    if all(item.get(name) is None for name in _MEMBERS[1:]):
        errors.append(unusable("y_true", "expected y_true, rating or outcomes"))
    rating, outcomes = item.get("rating"), item.get("outcomes")
    if item.get("y_true") is not None and _truth(item["y_true"], model) is None:
        expected = "a class of the model" if model.classes else "a finite number"
        errors.append(unusable("y_true", f"expected {expected}"))
    if rating is not None and not (_is_number(rating) and RATINGS[0] <= rating <= RATINGS[1]):
        errors.append(unusable("rating", f"expected a number from {RATINGS[0]} to {RATINGS[1]}"))
    if outcomes is not None and not isinstance(outcomes, dict):
        return [*errors, unusable("outcomes", "expected an object of amounts by KPI")]
    for name, amount in (outcomes or {}).items():
        if name not in kpis:
            known = f"expected one of {', '.join(kpis)}" if kpis else "no KPI is configured: see MODEL_KPIS"
            errors.append(unusable(f"outcomes.{name[:100]}", known))
        elif not (_is_number(amount) and amount >= 0):
            errors.append(unusable(f"outcomes.{name}", "expected a number from 0"))
    return errors


def _feedback_of(item: Mapping[str, Any], model: Model) -> Feedback:
    rating, outcomes = item.get("rating"), item.get("outcomes") or {}
    return Feedback(
        item["prediction_id"],
        None if item.get("y_true") is None else _truth(item["y_true"], model),
        None if rating is None else float(rating),
        {name: float(amount) for name, amount in outcomes.items()},
    )


def _truth(y: Any, model: Model) -> float | None:
    """A class code or a value; None if it is neither."""
    if model.classes:
        code = model.code_of(y)
        return None if code is None else float(code)
    return float(y) if _is_number(y) else None


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _columns(outputs: Outputs) -> tuple[list[Any], ...]:
    """Code, value, shares, lower, upper and set of each row, as SQLite stores them."""
    nothing: list[Any] = [None] * outputs.n_rows
    shares = nothing if outputs.probabilities is None else [row.tobytes() for row in outputs.probabilities]
    values = nothing if outputs.values is None else outputs.values.tolist()
    bounds = (nothing, nothing) if outputs.bounds is None else tuple(outputs.bounds.T.tolist())
    sets = nothing if outputs.in_set is None else [row.tobytes() for row in outputs.in_set]
    return (outputs.codes or nothing, values, shares, *bounds, sets)


def _labelled(rows: Sequence[Sequence[Any]], now: float) -> Labelled:
    def numbers(column: int) -> Any:
        # A number that is not finite was stored as NULL, and is NaN again here
        known = any(row[column] is not None for row in rows)
        return np.array([row[column] for row in rows], dtype=np.float64) if known else None

    def blobs(column: int, dtype: type) -> Any:
        known = any(row[column] is not None for row in rows)
        return np.array([np.frombuffer(row[column], dtype) for row in rows]) if known else None

    lower, upper = numbers(4), numbers(5)
    return Labelled(
        y=np.array([row[7] for row in rows], dtype=np.float64),
        codes=numbers(1),
        values=numbers(2),
        shares=blobs(3, np.float64),
        bounds=None if lower is None or upper is None else np.column_stack([lower, upper]),
        in_set=blobs(6, np.bool_),
        query=[row[0].rpartition(".")[0] for row in rows],
        age_s=now - np.array([row[8] for row in rows], dtype=np.float64),
    )
