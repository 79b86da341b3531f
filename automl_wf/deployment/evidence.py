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

from automl_wf.core.business import Business, business_from
from automl_wf.core.costs import Costs, DecisionRule
from automl_wf.core.fingerprint import types_fingerprint
from automl_wf.core.metrics import METRICS, resolve_scoring, scoring_names
from automl_wf.core.tasks import Task
from automl_wf.deployment.card import plain
from automl_wf.deployment.render import template_root
from automl_wf.evaluation import evaluate
from automl_wf.exceptions import PackageError

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
    def evaluation(self) -> dict[str, Any]:
        """What stage 6 says of these predictions, computed again; the honest score alone is not."""
        facts, rows = self.facts, self.scored
        task, stated = Task(facts["task"]), facts["evaluation"]
        name = facts["problem"].get("scoring")
        # A scorer of the user's own cannot be named: the metrics of the table do not depend on it
        known = name if name in scoring_names(task) else None
        evaluation = evaluate(
            task=task,
            scoring=resolve_scoring(known, task, pos_index=facts["pos_index"]),
            y=rows["y"],
            prediction=rows["prediction"],
            weight=rows.get("weight"),
            group=rows.get("group"),
            baseline_prediction=rows.get("baseline"),
            classes=None if facts["classes"] is None else np.array(facts["classes"], dtype=object),
            threshold=self.rule,
            business=self.business,
            fold=rows.get("fold"),
            positions=rows.get("row"),
            on=stated["on"],
            n_bootstraps=stated["resampling"]["n_draws"],
            seed=stated["resampling"]["seed"],
        )
        return evaluation.to_dict()

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


def _evaluation(evidence: Evidence, recipe: Mapping[str, Any]) -> Any:
    return evidence.evaluation.get(recipe["key"])


def _scores(evidence: Evidence, recipe: Mapping[str, Any]) -> list[Any]:
    """Every metric of the table that the card states, with the interval, of the model and of the baseline."""
    primary = evidence.facts["evaluation"]["primary"]
    rows = [row for row in evidence.evaluation["scores"] if row["name"] in METRICS]
    return [{**row, "is_primary": row["name"] == primary} for row in rows]


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
    "weights": lambda e, _: positive(e.arrays["blend_weights"]),
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
