"""Thresholds of the alerts, by hand: the worst fold, and drift that training already had between its folds."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.drift import bin_numeric, noise, psi
from automl_wf.core.frame import learn_schema
from automl_wf.core.tasks import Task
from automl_wf.deployment import Package, Subject
from automl_wf.deployment.alarm_limits import thresholds_of
from automl_wf.evaluation.reference import drift_reference


def test_the_worst_fold_of_scores_and_losses(subject: Subject) -> None:
    found = thresholds_of(subject)["performance"]
    # Of ten rows in each fold all are right, but for fold 0, where all are wrong.
    assert found["accuracy"] == {"limit": 0.0, "greater_is_better": True}
    assert found["log_loss"]["limit"] == pytest.approx(-np.log(0.2))
    assert found["log_loss"]["greater_is_better"] is False


def test_chance_in_a_window_decides_where_folds_agree(make: Callable[..., Subject]) -> None:
    subject = make()
    alike = make(evidence={**subject.evidence, "fold": np.zeros(40, dtype=np.int64)})
    row = next(r for r in subject.evaluation["scores"] if r["name"] == "accuracy")
    error = (row["high"] - row["low"]) / 3.92 * np.sqrt(40 / 500)
    found = thresholds_of(alike)["performance"]["accuracy"]
    assert found["limit"] == pytest.approx(0.75 - 2 * error)
    assert 0.6 < found["limit"] < 0.75


def test_limits_are_the_owners(make: Callable[..., Subject]) -> None:
    assert thresholds_of(make())["seconds_per_row"] is None
    assert thresholds_of(make(limits={"max_predict_time": 0.25}))["seconds_per_row"] == 0.25


def test_drift_that_training_had_itself_is_no_alarm() -> None:
    rng = np.random.default_rng(0)
    n = 3000
    fold = np.arange(n) // 1000 - 1  # the first third is held out by no fold, as in splits by time
    X = pd.DataFrame({"steady": rng.normal(size=n), "moving": rng.normal(size=n) + np.arange(n) / 500})
    table = learn_schema(X)[1]
    features = drift_reference(table, rng.normal(size=n), Task.REGRESSION, None, fold)["features"]
    assert features["steady"]["fold_excess"] < 0.05
    reference = features["moving"]
    last = bin_numeric(table.cells[1][fold == 1], reference["edges"])
    assert reference["fold_excess"] == pytest.approx(psi(reference["counts"], last) - noise(reference["counts"], last))
    assert reference["fold_excess"] > 0.5


def test_config_holds_thresholds_of_every_feature_with_a_reference(package: Package) -> None:
    config = json.loads((package.path / "model/config.json").read_text())
    assert config["thresholds"]["drift"] == dict.fromkeys(config["drift"]["features"], 0.2)
    assert config["thresholds"]["prediction_drift"] == 0.2
