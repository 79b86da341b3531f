"""What a fit was and what came of it, kept: one line in a file, or a run with its trials and package in MLflow."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_wf.deployment.card import plain
from automl_wf.deployment.manifest import find_damages
from automl_wf.deployment.render import template_root
from automl_wf.deployment.subject import installed_version
from automl_wf.exceptions import InvalidParameter, MissingDependency, PackageError
from automl_wf.results import subject_of

if TYPE_CHECKING:
    import pandas as pd

#: Name of the file in a folder.
RUNS = "runs.jsonl"
#: Variable that MLflow reads.
_BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
#: What MLflow stores of a value at most, and of a digest.
_LONGEST, _DIGEST = 500, 36
#: MLflow's word for what became of a trial: one that was stopped has not failed.
_STATUS = {"ok": "FINISHED", "pruned": "KILLED", "out_of_time": "KILLED", "failed": "FAILED"}
#: Rows of the package's own samples that show how the model is asked.
_EXAMPLES = 5


def describe_run(model: Any) -> dict[str, Any]:
    """The facts that tell one fit from another.

    Parameters
    ----------
    model : WorkflowEstimator
        Fitted.

    Returns
    -------
    dict
        Plain JSON types: "created", "estimator", "parameters", "seed", "code" (versions of automl_wf and, in a
        checkout, of the user's own), "environment", "data" (fingerprint and size), "task", "scoring", "best_score" with
        its "interval", "scores" by metric (value, baseline, low, high), "members", "n_trials", "ended", "seconds" by
        stage and "findings" by code.
    """
    subject = subject_of(model, model._result)
    evaluation = model.evaluation_
    honest = evaluation.honest
    described: dict[str, Any] = plain(
        {
            "created": subject.created,
            "estimator": type(model).__name__,
            "parameters": subject.parameters,
            "seed": subject.seed,
            "code": {"automl_wf": installed_version("automl-wf"), **_revision(Path.cwd())},
            "environment": subject.environment,
            "data": {**subject.problem["fingerprint"], "target_name": subject.target_name},
            "task": subject.task.value,
            "scoring": subject.problem["scoring"],
            "best_score": model.best_score_,
            "interval": None if honest is None else honest.interval,
            "scores": {
                score.name: {"value": score.value, "baseline": score.baseline, "low": score.low, "high": score.high}
                for score in evaluation.scores
            },
            "members": subject.blend["members"],
            "n_trials": subject.search["n_trials"],
            "ended": subject.search["ended"],
            "seconds": subject.timings,
            "findings": [finding["code"] for finding in subject.findings],
        }
    )
    return described


def check_runs_file(path: str | Path) -> None:
    """Raise InvalidParameter unless a run can be added to the file, without making it."""
    file = Path(path) / RUNS if Path(path).is_dir() else Path(path)
    place = file if file.exists() else file.absolute().parent
    if not place.exists() or not os.access(place, os.W_OK):
        raise InvalidParameter(
            f"The file of runs must be one that can be written to. Got {str(path)!r} instead: {place} "
            f"{'cannot be written to' if place.exists() else 'does not exist'}."
        )


def check_store(uri: str) -> None:
    """Raise unless the MLflow store can be opened.

    Parameters
    ----------
    uri : str
        Tracking store.

    Raises
    ------
    MissingDependency
        MLflow is not installed.
    InvalidParameter
        The store cannot be opened.
    """
    client = _mlflow().MlflowClient(tracking_uri=uri)
    try:
        client.search_experiments(max_results=1)
    except Exception as error:  # of whatever the store is made of: its own words tell what is wrong
        raise InvalidParameter(
            f"The MLflow store must be one that can be opened, such as sqlite:///mlflow.db. Got {uri!r} instead: "
            f"{_first_line(error)}"
        ) from error


def _mlflow() -> Any:
    try:
        import mlflow
    except ImportError as error:
        raise MissingDependency("Logging to MLflow needs it: pip install 'automl-wf[tracking]'") from error
    return mlflow


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:300]


def append_run(model: Any, path: str | Path) -> dict[str, Any]:
    """Add a fit to a file of runs, one line of JSON each.

    Parameters
    ----------
    model : WorkflowEstimator
        Fitted.
    path : path
        The file; in a folder that is there, `runs.jsonl`. Made if it is not there.

    Returns
    -------
    dict
        What was written.

    Raises
    ------
    InvalidParameter
        The file cannot be written.
    """
    file = Path(path) / RUNS if Path(path).is_dir() else Path(path)
    record = describe_run(model)
    line = json.dumps(record, allow_nan=False) + "\n"
    try:
        # One write in append mode: two fits that end at once leave two lines.
        with file.open("ab", buffering=0) as runs:
            runs.write(line.encode())
    except OSError as error:
        raise InvalidParameter(
            f"The 'path' parameter must be a file that can be written to. Got {str(path)!r} instead ({error.strerror})."
        ) from error
    return record


def read_runs(path: str | Path) -> pd.DataFrame:
    """The runs of a file as a table, the newest last.

    Parameters
    ----------
    path : path
        What `append_run` was given.

    Returns
    -------
    DataFrame
        One row per run; nested facts have columns such as `data.in_order` and `scores.roc_auc.value`.

    Raises
    ------
    InvalidParameter
        There is no such file.
    """
    import pandas as pd

    file = Path(path) / RUNS if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise InvalidParameter(
            f"The 'path' parameter must be a file of runs. Got {str(path)!r} instead: there is none."
        )
    return pd.json_normalize([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()])


def log_to_mlflow(
    model: Any,
    uri: str = "sqlite:///mlflow.db",
    *,
    experiment: str = "automl_wf",
    run_name: str | None = None,
    package: str | Path | None = None,
    dataset: str | Path | None = None,
) -> str:
    """Log a fit to MLflow: a run with its facts, a nested run per trial, the package, and a model over its graph.

    Parameters
    ----------
    model : WorkflowEstimator
        Fitted.
    uri : str, default="sqlite:///mlflow.db"
        Tracking store. Artefacts of a new experiment in SQLite are kept in `mlartifacts` beside the file.
    experiment : str, default="automl_wf"
        Name of the experiment; made if it is not there.
    run_name : str, default=None
        Name of the run; None: target, metric and score.
    package : path, default=None
        A package that `model.export` wrote; None: one is written for the purpose.
    dataset : str or path, default=None
        What the training table is called, or its file; None: what is predicted.

    Returns
    -------
    str
        Id of the run; `mlflow.pyfunc.load_model(f"runs:/{id}/model")` opens the model, without automl_wf.

    Raises
    ------
    MissingDependency
        MLflow is not installed.
    InvalidParameter
        The store cannot be opened.
    PackageError
        `package` is not a package as it was written.
    """
    mlflow = _mlflow()
    check_store(uri)
    client = mlflow.MlflowClient(tracking_uri=uri)
    record = describe_run(model)
    with _package(model, package) as folder:
        run = client.create_run(
            _experiment_id(client, experiment, uri),
            start_time=_milliseconds(record, 0.0),
            run_name=run_name or f"{record['data']['target_name']}: {record['scoring']} {record['best_score']:.4g}",
        )
        run_id = str(run.info.run_id)
        status = "FAILED"
        try:
            _log_facts(mlflow, client, run_id, record)
            _log_dataset(mlflow, client, run_id, record, dataset)
            for trial in model._result.tuning.trials:
                _log_trial(mlflow, client, run, trial, record)
            client.log_dict(run_id, record, "run.json")
            client.log_text(run_id, model.leaderboard_.to_csv(index=False), "leaderboard.csv")
            client.log_artifacts(run_id, str(folder), "package")
            _log_model(mlflow, client, run_id, folder)
            status = "FINISHED"
        finally:
            client.set_terminated(run_id, status)
    return run_id


def _revision(folder: Path) -> dict[str, Any]:
    """Commit of the checkout that the process works in, and whether files differ from it; nothing outside of one."""

    def git(*words: str) -> str | None:
        try:
            said = subprocess.run(("git", *words), cwd=folder, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return said.stdout.strip() if said.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    return {} if commit is None else {"commit": commit, "is_changed": bool(git("status", "--porcelain"))}


@contextmanager
def _package(model: Any, package: str | Path | None) -> Iterator[Path]:
    """The package given, unless it is damaged, or one that is gone afterwards."""
    if package is None:
        with tempfile.TemporaryDirectory(prefix="automl_wf-") as scratch:
            yield Path(model.export(Path(scratch) / "package").path)
        return
    differences = find_damages(Path(package))
    if differences:
        what = "; ".join(f"{d.file} {d.reason}" for d in differences[:3])
        raise PackageError(f"{package} is not a package as export wrote it: {what}. Export again.")
    yield Path(package)


def _experiment_id(client: Any, name: str, uri: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if uri.startswith("sqlite:///"):
        location = (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def _milliseconds(record: Mapping[str, Any], seconds: float) -> int:
    """A moment of the fit, so many seconds after its begin, as MLflow counts time."""
    return int((datetime.fromisoformat(record["created"]).timestamp() + seconds) * 1000)


def _log_facts(mlflow: Any, client: Any, run_id: str, record: Mapping[str, Any]) -> None:
    low, high = record["interval"] or (None, None)
    metrics: dict[str, Any] = {"best_score": record["best_score"], "best_score_lower": low, "best_score_upper": high}
    for name, score in record["scores"].items():
        metrics |= {name: score["value"], f"{name}/baseline": score["baseline"]}
        metrics |= {f"{name}_lower": score["low"], f"{name}_upper": score["high"]}
    metrics |= {f"seconds/{stage}": seconds for stage, seconds in record["seconds"].items()}
    tags = {
        "task": record["task"],
        "target": record["data"]["target_name"],
        "interval": None if record["interval"] is None else "{:.6g} to {:.6g}".format(*record["interval"]),
        "scoring": record["scoring"],
        "seed": record["seed"],
        "data.fingerprint": record["data"]["in_order"],
        "findings": ", ".join(record["findings"]),
        "python": record["environment"]["python"],
        **{f"code.{name}": value for name, value in record["code"].items()},
    }
    _log_batch(mlflow, client, run_id, record["parameters"], metrics, tags)


def _log_dataset(mlflow: Any, client: Any, run_id: str, record: Mapping[str, Any], dataset: str | Path | None) -> None:
    """The training table as an input of the run: its name, fingerprint and size, and where its file was."""
    data, entities = record["data"], mlflow.entities
    file = None if dataset is None or not Path(dataset).is_file() else Path(dataset).resolve()
    name = file.name if file else f"table of {data['target_name']}" if dataset is None else str(dataset)
    source = {"uri": str(file)} if file else {"fingerprint": data["in_order"]}
    described = entities.Dataset(
        name=_short(name),
        digest=data["in_order"][:_DIGEST],
        source_type="local" if file else "memory",
        source=json.dumps(source),
        profile=json.dumps({"num_rows": data["n_rows"], "num_columns": data["n_columns"]}),
    )
    context = entities.InputTag("mlflow.data.context", "training")
    client.log_inputs(run_id, [entities.DatasetInput(described, [context])])


def _log_trial(mlflow: Any, client: Any, parent: Any, trial: Any, record: Mapping[str, Any]) -> None:
    """A nested run: hyper-parameters, score of every fold and of all, seconds, and why it failed if it did."""
    run = client.create_run(
        parent.info.experiment_id,
        start_time=_milliseconds(record, trial.started_s),
        tags={"mlflow.parentRunId": parent.info.run_id},
        run_name=f"{trial.number:03d} {trial.configuration.model}",
    )
    params = {"model": trial.configuration.model, "source": trial.configuration.source, **trial.configuration.params}
    metrics = {
        "score": trial.score,
        "fit_time_s": trial.fit_time_s,
        "predict_time_ms": trial.predict_time_ms,
        "n_rounds": trial.n_rounds,
        "n_parameters": trial.n_parameters,
    }
    _log_batch(mlflow, client, run.info.run_id, params, metrics, {"status": trial.status, "reason": trial.reason})
    for fold, score in enumerate(trial.fold_scores):
        if math.isfinite(score):
            client.log_metric(run.info.run_id, "fold_score", score, step=fold)
    ended = _milliseconds(record, trial.started_s + trial.fit_time_s)
    client.set_terminated(run.info.run_id, _STATUS[trial.status], ended)


def _log_batch(
    mlflow: Any,
    client: Any,
    run_id: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, Any],
    tags: Mapping[str, Any],
) -> None:
    entities, now = mlflow.entities, _now()
    client.log_batch(
        run_id,
        params=[entities.Param(str(k), _short(v)) for k, v in params.items()],
        metrics=[
            entities.Metric(k, float(v), now, 0) for k, v in metrics.items() if v is not None and math.isfinite(v)
        ],
        tags=[entities.RunTag(k, _short(v)) for k, v in tags.items() if v not in (None, "")],
    )


def _now() -> int:
    return int(datetime.now().timestamp() * 1000)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """MLflow shows a bar for every copy of a file; who asked for them keeps them."""
    before = os.environ.get(_BARS)
    os.environ.setdefault(_BARS, "false")
    try:
        yield
    finally:
        if before is None:
            del os.environ[_BARS]


def _log_model(mlflow: Any, client: Any, run_id: str, folder: Path) -> None:
    """A model over the graph of the package; where there is no graph, a tag with the reason."""
    facts = json.loads((folder / "model/metadata.json").read_text(encoding="utf-8"))
    if not facts["graph"]["exists"]:
        client.set_tag(run_id, "graph", _short(f"none: {facts['graph']['reason']}"))
        return
    needed = ("mlflow", "numpy", "onnxruntime", "pandas")
    config = json.loads((folder / "model/config.json").read_text(encoding="utf-8"))
    samples = json.loads((folder / "tests/test_data/samples.json").read_text(encoding="utf-8"))["rows"][:_EXAMPLES]
    with tempfile.TemporaryDirectory(prefix="automl_wf-") as scratch, _without_progress_bars():
        saved = os.path.join(scratch, "model")
        mlflow.pyfunc.save_model(
            saved,
            python_model=str(template_root() / "tracking/packaged_model.py"),
            artifacts={"package": str(folder)},
            signature=_signature(facts["columns"], config),
            input_example=samples,
            pip_requirements=[f"{name}=={version}" for name in needed if (version := installed_version(name))],
        )
        client.log_artifacts(run_id, saved, "model")


def _signature(columns: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> Any:
    """Names that go in and out; cells of any type, for the package reads numbers, gaps and text by its own rules."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    inputs = [ColSpec(AnyType(), column["name"], required=column["is_used"]) for column in columns]
    if config["classes"] is None:
        outputs = [ColSpec("double", "prediction")]
    else:
        outputs = [ColSpec(AnyType(), "label"), *(ColSpec("double", str(name)) for name in config["classes"])]
    return ModelSignature(Schema(inputs), Schema(outputs))
