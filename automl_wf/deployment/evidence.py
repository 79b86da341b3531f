"""Figures that follow from a package's own files: computed once when it is written, and again by `verify`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from automl_wf.core.budget import Budget
from automl_wf.core.business import Business, apply_business, business_from
from automl_wf.core.compat import one_blas_thread
from automl_wf.core.costs import Costs, DecisionRule
from automl_wf.core.fingerprint import types_fingerprint
from automl_wf.core.metrics import Scoring, resolve_scoring, scoring_names
from automl_wf.core.row_sketch import RowSketch
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.deployment.card import (
    FOLD_SCORES,
    expected_score,
    is_computable,
    is_named,
    judged_criteria,
    obstacle,
    plain,
)
from automl_wf.deployment.explanations import in_card
from automl_wf.deployment.loading import read_schema
from automl_wf.deployment.recipe import recipe
from automl_wf.deployment.render import template_root
from automl_wf.evaluation import evaluate
from automl_wf.evaluation.bias_correction import Chosen, bias_corrected, repeat_choice
from automl_wf.evaluation.held_out import HeldOut
from automl_wf.evaluation.scores import Held
from automl_wf.evaluation.stability import summarise_stability
from automl_wf.exceptions import PackageError
from automl_wf.interpretation.insights import insights
from automl_wf.model_selection.ensemble import combine, fit_strategy, member_limit
from automl_wf.model_selection.postprocess import Postprocess, fit_postprocess, fit_residuals

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Evidence:
    """A package folder, read without trusting it: plain JSON and arrays, never a pickle."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """model/config.json."""
        return self._json("model/config.json")

    @cached_property
    def facts(self) -> dict[str, Any]:
        """model/metadata.json."""
        return self._json("model/metadata.json")

    @property
    def rule(self) -> DecisionRule:
        """What a class is decided on by, as `decide` takes it."""
        costs = self.facts.get("decision_costs")
        return self.facts["threshold"] if costs is None else Costs.of(costs)

    @property
    def business(self) -> Business | None:
        """What predictions are worth, without KPIs and columns."""
        return business_from(self.facts["problem"].get("business"), Task(self.facts["task"]))

    @cached_property
    def samples(self) -> dict[str, Any]:
        """tests/test_data/samples.json."""
        return self._json("tests/test_data/samples.json")

    @cached_property
    def expected(self) -> dict[str, Any]:
        """tests/test_data/expected.json."""
        return self._json("tests/test_data/expected.json")

    @cached_property
    def arrays(self) -> Arrays:
        """model/evidence.npz."""
        with np.load(self.folder / "model/evidence.npz", allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    @cached_property
    def scored(self) -> Arrays:
        """The arrays with one entry per row, at rows that were predicted out of fold."""
        arrays = self.arrays
        known = np.isfinite(arrays["prediction"].reshape(len(arrays["y"]), -1)).all(axis=1)
        per_row = ("y", "prediction", "baseline", "fold", "row", "weight", "group")
        return {name: arrays[name][known] for name in per_row if name in arrays}

    @cached_property
    def row_sketch(self) -> RowSketch | None:
        """Hashes of the rows that were fitted on; None: none were kept."""
        return RowSketch.from_arrays(self.arrays, self.facts["seed"] or 0)

    @cached_property
    def scoring(self) -> Scoring:
        """What was optimised, greater is better; where that is a function of the user's own, the task's default."""
        facts, task = self.facts, Task(self.facts["task"])
        name = facts["problem"].get("scoring")
        classes = None if facts["classes"] is None else np.array(facts["classes"], dtype=object)
        scoring = resolve_scoring(
            name if name in scoring_names(task) else None, task, classes=classes, pos_index=facts["pos_index"]
        )
        if self.business is None or not is_named(facts):
            return scoring
        is_auto = facts["parameters"].get("scoring", "auto") in (None, "auto")
        return apply_business(self.business, scoring, is_auto, classes, facts["pos_index"])[1]

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """What stage 6 says of these predictions, computed again; the honest score alone is not."""
        return self.evaluate(self.business)

    def evaluate(self, business: Business | None, columns: Mapping[str, NDArray[Any]] | None = None) -> dict[str, Any]:
        """The same, with columns that `business` names: by role, at the rows of `scored`."""
        facts, rows = self.facts, self.scored
        stated = facts["evaluation"]
        evaluation = evaluate(
            task=Task(facts["task"]),
            scoring=self.scoring,
            y=rows["y"],
            prediction=rows["prediction"],
            weight=rows.get("weight"),
            group=rows.get("group"),
            baseline_prediction=rows.get("baseline"),
            classes=None if facts["classes"] is None else np.array(facts["classes"], dtype=object),
            threshold=self.rule,
            business=business,
            columns=columns,
            fold=rows.get("fold"),
            positions=rows.get("row"),
            on=stated["on"],
            n_bootstraps=stated["resampling"]["n_draws"],
            seed=stated["resampling"]["seed"],
        )
        return evaluation.to_dict()

    @cached_property
    def honest(self) -> dict[str, Any]:
        """The whole choice among the configurations, repeated inside as many bootstraps as there were."""
        facts, arrays = self.facts, self.arrays
        stated, blend = facts["evaluation"]["honest"], facts["blend"]
        predictions, names = tuple(arrays["members"]), arrays["candidates"].tolist()
        weights = np.append(self.weights, np.zeros(len(names) - len(self.weights)))
        rule = self.rule
        post = Postprocess(
            blend["temperature"],
            None if isinstance(rule, Costs) else rule,
            shift=blend["shift"],
            costs=rule if isinstance(rule, Costs) else None,
        )
        chosen, of_rows = Chosen(weights, post), (arrays["y"], arrays.get("weight"))
        with one_blas_thread():
            honest = bias_corrected(
                predictions,
                repeat_choice(chosen, blend["strategy"], names, self.scoring, predictions, *of_rows),
                self.scoring,
                *of_rows,
                arrays.get("group"),
                n_bootstraps=stated["n_bootstraps"],
                seed=self.facts["seed"],
                budget=Budget(),
                chosen=chosen,
                n_draws=(stated["n_bootstraps"] + stated["n_skipped"], stated.get("n_scored", 0)),
            )
        return honest.to_dict()

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """The weights that the strategy gives the configurations, by their out-of-fold predictions."""
        arrays = self.arrays
        if "members" not in arrays or "candidates" not in arrays or not is_named(self.facts):
            return arrays["blend_weights"]
        # Rivals, whose models were not kept, competed only in the honest score.
        n_candidates = len(arrays["blend_weights"])
        with one_blas_thread():
            return fit_strategy(
                self.facts["blend"]["strategy"],
                tuple(arrays["members"][:n_candidates]),
                arrays["y"],
                arrays.get("weight"),
                arrays.get("group"),
                self.scoring,
                arrays["candidates"].tolist()[:n_candidates],
                max_members=member_limit(len(arrays["y"])),
            )

    def held_out(self, table: Table | None = None, unit: NDArray[Any] | None = None) -> HeldOut:
        """The held-out rows, as the diagnosis takes them; without fold models, which a package does not hold.

        Parameters
        ----------
        table : Table or None, default=None
            Their cells. None: no column.
        unit : ndarray of shape (n_rows,) or None, default=None
            Rows that are drawn together, where they are not groups.

        Returns
        -------
        HeldOut
            Rows and predictions.
        """
        facts, rows = self.facts, self.scored
        if table is None:
            table = Table(read_schema(facts, self.config), (), len(rows["y"]))
        held = Held(
            Task(facts["task"]),
            rows["y"],
            rows["prediction"],
            rows.get("weight"),
            rows.get("group") if unit is None else unit,
            self.rule,
        )
        models = tuple(_no_model for _ in range(facts["data"].get("n_folds") or int(rows["fold"].max()) + 1))
        return HeldOut(table, held, rows["fold"], models, self.scoring, labels=tuple(facts["classes"] or ()))

    def _json(self, name: str) -> dict[str, Any]:
        content = json.loads((self.folder / name).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"{name} holds no JSON object")
        return content


def compute(evidence: Evidence, recipe: Mapping[str, Any]) -> Any:
    """The figure that `recipe` (a card field's "evidence") describes, in plain JSON types.

    Raises
    ------
    KeyError
        There is no such figure, or not the evidence for it.
    """
    return plain(FIGURES[recipe["compute"]](evidence, recipe))


def has(evidence: Evidence, name: str) -> bool:
    """Whether a file is there."""
    return (evidence.folder / name).is_file()


def _no_model(table: Table) -> NDArray[np.float64]:
    raise PackageError("A package holds no models of single folds.")


def _expected_score(evidence: Evidence, recipe: Mapping[str, Any]) -> Any:
    return expected_score(_with_honest(evidence))


def _criteria(evidence: Evidence, recipe: Mapping[str, Any]) -> Any:
    facts = {**evidence.facts, "measured": {**evidence.facts["measured"], "sizes": sizes(evidence.folder)}}
    return judged_criteria(facts, _with_honest(evidence))


def _with_honest(evidence: Evidence) -> dict[str, Any]:
    """The evaluation computed again, the honest score with it where there was one."""
    has_honest = evidence.facts["evaluation"].get("honest") is not None
    return {**evidence.evaluation, "honest": evidence.honest if has_honest else None}


def _temperature(evidence: Evidence, recipe: Mapping[str, Any]) -> float:
    arrays, scoring = evidence.arrays, evidence.scoring
    of_rows = (arrays["y"], arrays.get("weight"), arrays.get("group"))
    combined = combine(tuple(arrays["members"][: len(evidence.weights)]), evidence.weights)
    return fit_postprocess(combined, *of_rows, scoring, scoring.task, costs=scoring.costs).temperature


def _prediction_intervals(evidence: Evidence, recipe: Mapping[str, Any]) -> dict[str, float]:
    """How far a new value may lie from its prediction, by confidence, from the out-of-fold residuals."""
    rows = evidence.scored
    residuals = np.abs(rows["y"] - rows["prediction"])
    post = Postprocess(residuals=fit_residuals(residuals, rows.get("weight")), n_residuals=len(residuals))
    stated = evidence.facts["blend"]["prediction_intervals"]
    return {confidence: post.residual_quantile(1 - float(confidence)) for confidence in stated}


def _fold_scores(evidence: Evidence, recipe: Mapping[str, Any]) -> dict[str, Any]:
    stability = vars(summarise_stability(evidence.held_out(), ()))
    return {name: stability[name] for name in FOLD_SCORES}


def _insights(evidence: Evidence, recipe: Mapping[str, Any]) -> Any:
    return in_card([vars(insight) for insight in insights(evidence.facts["interpretation"])])


def _repeats(evidence: Evidence, recipe: Mapping[str, Any]) -> dict[str, Any]:
    reason = obstacle(evidence.facts)
    return {"is_exact": reason is None, "reason": reason}


def _evaluation(evidence: Evidence, recipe: Mapping[str, Any]) -> Any:
    return evidence.evaluation.get(recipe["key"])


def _scores(evidence: Evidence, recipe: Mapping[str, Any]) -> list[Any]:
    """Every metric of the table that the card states, with the interval, of the model and of the baseline."""
    primary = evidence.facts["evaluation"]["primary"]
    rows = [{**row, "is_primary": row["name"] == primary} for row in evidence.evaluation["scores"]]
    return [row for row in rows if is_computable(evidence.facts, row)]


def _business(evidence: Evidence, recipe: Mapping[str, Any]) -> Any:
    return (evidence.evaluation["business"] or {}).get(recipe["key"])


def _target(evidence: Evidence, recipe: Mapping[str, Any]) -> dict[str, Any]:
    return describe_target(evidence.scored["y"], Task(evidence.facts["task"]), evidence.facts["classes"])


def describe_target(y: NDArray[Any], task: Task, classes: Any) -> dict[str, Any]:
    """Rows per class, or mean, standard deviation and range of the values."""
    if task.is_classification:
        counts = np.bincount(y.astype(np.int64), minlength=len(classes))
        return {str(c): int(n) for c, n in zip(plain(classes), counts, strict=True)}
    values = y.astype(np.float64)
    return {"mean": values.mean(), "sd": values.std(), "minimum": values.min(), "maximum": values.max()}


def positive(weights: NDArray[Any]) -> list[float]:
    """The weights of those configurations that take part."""
    return [float(w) for w in weights if w > 0]


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of what was serialised."""
    names = ("model.onnx", "model.pkl", "preprocessor.pkl")
    return {name: (folder / "model" / name).stat().st_size for name in names if (folder / "model" / name).is_file()}


def count_nodes(folder: Path) -> int | None:
    """Nodes of the graph; None without a graph."""
    import onnx

    path = folder / "model/model.onnx"
    return len(onnx.load(path, load_external_data=False).graph.node) if path.is_file() else None


def measure(folder: Path) -> dict[str, Any]:
    """Seconds and peak memory of the graph in a fresh process.

    Returns
    -------
    dict
        "latency" (one_row_p50_s, one_row_p95_s, thousand_rows_s) and "memory" (peak_bytes).

    Raises
    ------
    PackageError
        The process failed.
    """
    script = template_root() / "inspection/measure.py"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise PackageError(f"The graph cannot be run outside this process: {done.stderr.strip()[-1000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


#: Name in a card field's "evidence" → how it is computed.
FIGURES: dict[str, Callable[[Evidence, Mapping[str, Any]], Any]] = {
    "scores": _scores,
    "evaluation": _evaluation,
    "business": _business,
    "target": _target,
    "scoring": lambda e, _: e.scoring.name,
    "seed": lambda e, _: check_random_state(e.facts["parameters"]["random_state"]).randint(2**31 - 1),
    "recipe": lambda e, _: recipe(e.facts),
    "expected_score": _expected_score,
    "repeats": _repeats,
    "honest": lambda e, _: e.honest,
    "criteria": _criteria,
    "fold_scores": _fold_scores,
    "insights": _insights,
    "temperature": _temperature,
    "prediction_intervals": _prediction_intervals,
    "weights": lambda e, _: positive(e.weights),
    "arrays": lambda e, _: sorted(e.arrays),
    "row_hashes": lambda e, _: None if e.row_sketch is None else e.row_sketch.to_dict(),
    "config": lambda e, recipe: e.config[recipe["key"]],
    "n_scored": lambda e, _: len(e.scored["y"]),
    "n_folds": lambda e, _: len(np.unique(e.scored["fold"])),
    "n_columns": lambda e, _: len(e.config["columns"]),
    "n_levels": lambda e, _: sum(len(levels) for levels in e.config["categories"].values()),
    "samples": lambda e, _: {"n_rows": len(e.samples["rows"]), "are_synthetic": e.samples["are_synthetic"]},
    "fingerprint_types": lambda e, _: types_fingerprint((c["name"], c["dtype"], c["kind"]) for c in e.facts["columns"]),
    "graph_exists": lambda e, _: has(e, "model/model.onnx"),
    "n_nodes": lambda e, _: count_nodes(e.folder),
    "sizes": lambda e, _: sizes(e.folder),
}
