"""The `automl-wf` command: a thin skin over `fit`, `export`, `predict`, `verify` and the registry; starts a service."""

from __future__ import annotations

import difflib
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl_wf.exceptions import InvalidInput, PackageError, WorkflowError

if TYPE_CHECKING:
    from pandas import DataFrame

    from automl_wf.core.csv_file import CsvDialect
    from automl_wf.deployment import Package, Report
    from automl_wf.deployment.registry import Event
    from automl_wf.estimator import WorkflowEstimator

#: Exit statuses: all is well; something is wrong with the package; what was asked for cannot be done.
OK, WRONG, UNUSABLE = 0, 1, 2
#: Checks by class, and what the class means.
_KINDS = {
    "file": "files, compared with MANIFEST.json",
    "exact": "computed again from the package",
    "tolerance": "records of the run, measured again on this machine",
    "data": "computed again from the training table",
    "once": "records of the run: compared with metadata.json",
}

_INFO_HELP = (
    "JSON file of what only the owner can say, for the card: an object of texts such as "
    '{"owner": "…", "objective": "…", "out_of_scope": "…"}. A key that is not known is answered with all that are.'
)

#: How CSV files are written, for every command that reads one.
_Sep = Annotated[str, typer.Option(help=r"Separator of cells in CSV files: ';', '|' or '\t'.")]
_Decimal = Annotated[str, typer.Option(help="Decimal mark in CSV files: '.' or ','.")]
_Encoding = Annotated[str, typer.Option(help="Encoding of CSV files, such as cp1252 or utf-16.")]

app = typer.Typer(
    name="automl-wf",
    help="From a raw table to a verified model package.",
    epilog="Exit status: 0 all is well; 1 something is wrong with a package, or it should not be promoted; 2 what was "
    "asked for cannot be done, and the last line of stderr says why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class TaskName(StrEnum):
    """What `--task` may be."""

    AUTO = "auto"
    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    RANKING = "ranking"


class Preset(StrEnum):
    """What `--preset` may be."""

    FAST = "fast"
    BALANCED = "balanced"
    BEST = "best"
    INTERPRETABLE = "interpretable"


def _say_version(is_asked: bool) -> None:
    if is_asked:
        from automl_wf.deployment.subject import installed_version

        typer.echo(f"automl-wf {installed_version('automl-wf') or 'from a checkout'}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    pass


@app.command()
def fit(
    data: Annotated[Path, typer.Argument(help="Training table: .csv, .csv.gz or .parquet.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    group_column: Annotated[
        str | None,
        typer.Option(help="Column whose rows of one value stay together; the query when ranking. Not an input."),
    ] = None,
    weight_column: Annotated[str | None, typer.Option(help="Column of sample weights. Not an input.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Column to leave out; may be given more than once.")] = None,
    task: Annotated[TaskName, typer.Option(help="What is predicted.")] = TaskName.AUTO,
    scoring: Annotated[str, typer.Option(help="Name of the score to optimise.")] = "auto",
    drop_missing_target: Annotated[
        bool, typer.Option("--drop-missing-target", help="Leave out the rows whose target is missing.")
    ] = False,
    time_budget: Annotated[
        float, typer.Option(min=0.0, help="Seconds for the whole fit, the package not included; 0: no limit.")
    ] = 60.0,
    n_iter: Annotated[int | None, typer.Option(help="Number of configurations.")] = None,
    preset: Annotated[Preset, typer.Option(help="Effort, or models that people can read.")] = Preset.BALANCED,
    estimators: Annotated[str, typer.Option(help="Models or families, by commas: lightgbm,linear.")] = "auto",
    random_state: Annotated[int | None, typer.Option(help="Seed.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder that a killed fit goes on from.")] = None,
    export: Annotated[Path | None, typer.Option(help="Folder to write the package to.")] = None,
    package_version: Annotated[
        str | None, typer.Option(help="Version of the package; the moment of the fit if not given.")
    ] = None,
    info: Annotated[Path | None, typer.Option(help=_INFO_HELP)] = None,
    log: Annotated[Path | None, typer.Option(help="File of runs (JSON lines) to add this fit to.")] = None,
    mlflow: Annotated[str | None, typer.Option(help="MLflow store to log to, such as sqlite:///mlflow.db.")] = None,
    sep: _Sep = ",",
    decimal: _Decimal = ".",
    encoding: _Encoding = "utf-8",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Fit a model on a table; with --export write its package, with --log or --mlflow keep what came of it."""
    from automl_wf.core.csv_file import CsvDialect
    from automl_wf.core.frame import read_file
    from automl_wf.estimator import WorkflowEstimator

    said = _owner_info(info, export)
    _check_stores(log, mlflow)
    dialect = CsvDialect(sep, decimal, encoding)
    table = read_file(data, dialect)
    aside = list(filter(None, [group_column, weight_column, *(drop or ())]))
    _check_columns(data, table, [target, *aside])
    n_read, target_dtype = len(table), table[target].dtype
    say = _silent if quiet else _say
    if task in (TaskName.AUTO, TaskName.REGRESSION):
        table = _with_numbers(data, table, target, task, say)
    table = _with_target(data, table, target, drop_missing_target)
    if not time_budget and n_iter is None:
        say("No time limit and no n_iter: the search ends when further configurations are not better.")
    model = WorkflowEstimator(
        task=task.value,
        scoring=scoring,
        time_budget=time_budget or None,
        n_iter=n_iter,
        preset=preset.value,
        estimators=estimators if estimators == "auto" else [name.strip() for name in estimators.split(",")],
        random_state=random_state,
        checkpoint=checkpoint,
        verbose=0 if quiet else 1,
    )
    model._next_call = "" if export is not None else "automl-wf fit … --export model_package"
    model._taken_from = {
        "dialect": dialect.unusual,
        "has_rows_without_target": len(table) < n_read,
        "has_spelled_target": table[target].dtype != target_dtype,
        "group_column": group_column,
        "weight_column": weight_column,
        "drop": drop or [],
    }
    model.fit(
        table.drop(columns=list({target, *aside})),
        table[target],
        sample_weight=None if weight_column is None else table[weight_column],
        groups=None if group_column is None else table[group_column],
    )
    package = None
    if export is not None:
        say(f"Writing the package to {export}, measuring it and running its tests …")
        package = model.export(export, info=said, version=package_version)
    if not (as_json or quiet):
        _print_fit(model, package)
    if log is not None:
        model.log(log)
    run = None if mlflow is None else model.log_to_mlflow(mlflow, package=export, dataset=data)
    if as_json:
        _print_json({**_facts(model, package), "mlflow_run": run})
    elif run is not None and not quiet:
        typer.echo(f"MLflow run {run} in {mlflow}")


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="Folder of the package.")],
    data: Annotated[Path | None, typer.Option(help="The training table, for the figures computed from it.")] = None,
    sep: _Sep = ",",
    decimal: _Decimal = ".",
    encoding: _Encoding = "utf-8",
    verbose: Annotated[bool, typer.Option("--verbose", help="Name everything that was not checked.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every check as JSON.")] = False,
) -> None:
    """Compute a package's figures again. Exit status 0: nothing is wrong; 1: something is; 2: it cannot be told."""
    from automl_wf.core.csv_file import CsvDialect
    from automl_wf.deployment.verify import verify as verify_package
    from automl_wf.estimator import fit_again

    _check_package(path)
    report = verify_package(path, data, fit_again, CsvDialect(sep, decimal, encoding))
    if as_json:
        _print_json(report.to_dict())
    else:
        _print_report(report, verbose)
    raise typer.Exit(OK if report.ok else WRONG)


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="Package that serves, or a registry: its current version.")],
    new: Annotated[Path, typer.Argument(help="Package that might take its place.")],
    data: Annotated[Path, typer.Option(help="Labelled rows that neither was trained on: .csv or .parquet.")],
    group: Annotated[str | None, typer.Option(help="Column of the queries, when ranking.")] = None,
    margin: Annotated[float, typer.Option(min=0.0, help="Loss that is accepted, in units of the metric.")] = 0.0,
    max_slower: Annotated[
        float, typer.Option(min=1.0, help="How many times as long as the old one the new one may take to predict.")
    ] = 1.5,
    sep: _Sep = ",",
    decimal: _Decimal = ".",
    encoding: _Encoding = "utf-8",
    out: Annotated[Path | None, typer.Option(help="File to write the decision to, for `promote`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the decision as JSON.")] = False,
) -> None:
    """Compare two packages on the same rows. Exit status 0: promote; 1: keep the old one, or undecided."""
    from automl_wf.core.csv_file import CsvDialect
    from automl_wf.deployment.comparison import compare_packages

    champion = _package_of(old)
    table = _labelled_rows(data, champion, CsvDialect(sep, decimal, encoding))
    found = compare_packages(champion, new, table, group=group, margin=margin, max_slower=max_slower)
    if out is not None:
        out.write_text(json.dumps(found.to_dict(), indent=2) + "\n", encoding="utf-8")
    if as_json:
        _print_json(found.to_dict())
    else:
        typer.echo(
            f"{found.verdict}: {found.metric} {found.old.score:.6g} → {found.new.score:.6g} on {found.n_rows} rows"
        )
        for gate in found.gates:
            typer.echo(f"  {gate.status:<9} {gate.name}: {gate.reason}")
    raise typer.Exit(OK if found.verdict == "promote" else WRONG)


@app.command()
def predict(
    path: Annotated[Path, typer.Argument(help="Folder of the package, or a registry: its current version.")],
    file: Annotated[Path, typer.Argument(help="Rows to predict for: .csv, .csv.gz or .parquet.")],
    output: Annotated[
        Path | None, typer.Option(help="File to write to, .csv or .parquet; CSV to stdout if not given.")
    ] = None,
    intervals: Annotated[
        bool,
        typer.Option("--intervals", help="Add what holds the truth with 95 %: lower and upper, or a set of classes."),
    ] = False,
    sep: _Sep = ",",
    decimal: _Decimal = ".",
    encoding: _Encoding = "utf-8",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was done as JSON; the predictions go to --output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notices.")] = False,
) -> None:
    """Predict for every row of a file, in its order, a part at a time: one row of predictions for each."""
    from automl_wf.core.csv_file import CsvDialect
    from automl_wf.deployment.batch import predict_file
    from automl_wf.deployment.loading import load

    if as_json and output is None:
        raise InvalidInput("--json leaves no place for the predictions. Say with --output where to write them.")
    if output is not None and output.exists() and file.exists() and output.samefile(file):
        raise InvalidInput(f"{output} holds the rows and would be overwritten. Give --output another name.")
    package = _package_of(path)
    _check_package(package)
    batch = predict_file(
        load(package),
        file,
        sys.stdout if output is None else output,
        intervals=intervals,
        dialect=CsvDialect(sep, decimal, encoding),
    )
    say = _silent if quiet else _say
    if batch.ignored:
        say(f"Columns that the model does not take: {_first(batch.ignored)}.")
    for name, levels in batch.unknown.items():
        say(f"Categories of {name!r} that were not seen in fit: {_first(levels)}. They are treated as unknown.")
    if as_json:
        _print_json({**vars(batch), "output": str(output)})
    elif output is not None:
        say(f"{batch.n_rows} predictions in {output}")


@app.command()
def promote(
    package: Annotated[Path, typer.Argument(help="Package to serve from now on.")],
    registry: Annotated[Path, typer.Option(help="Folder of versions; made by the first promotion.")],
    decision: Annotated[Path | None, typer.Option(help="promotion.json, as `compare --out` wrote it.")] = None,
    force: Annotated[str | None, typer.Option(help="Promote all the same, for this reason.")] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Only try it: it predicts what the current version answers.")
    ] = False,
    share: Annotated[
        float | None, typer.Option(help="Only try it: it answers this share of the requests, as in 0.1.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the event as JSON.")] = False,
) -> None:
    """Make a package the current version of a registry, or try it; a running service changes over by itself."""
    from automl_wf.deployment.registry import Registry

    if shadow and share is not None:
        raise InvalidInput("A shadow answers nobody: give either --shadow or --share.")
    content = None if decision is None else _read_json(decision)
    if shadow or share is not None:
        event = Registry(registry).try_out(package, content, share=share, force=force)
    else:
        event = Registry(registry).promote(package, content, force=force)
    _print_event(event, as_json)


@app.command()
def rollback(
    registry: Annotated[Path, typer.Option(help="Folder of versions.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the event as JSON.")] = False,
) -> None:
    """End the trial if there is one, else go back to the version before; a running service changes over by itself."""
    from automl_wf.deployment.registry import Registry

    versions = Registry(registry)
    _print_event(versions.rollback(reason), as_json, versions.way_back)


@app.command()
def serve(
    path: Annotated[Path, typer.Argument(help="Folder of the package, or a registry.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on.")] = 8000,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Let everybody call who can reach the port, without a key.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="First print address and package as JSON.")] = False,
) -> None:
    """Start the service of a package. Keys come from MODEL_API_KEY_HASHES or MODEL_API_KEY_FILE (docs/deployment.md).

    The package's own code runs, in place of this process: serve packages of people you trust.
    """
    environment = {**os.environ, "MODEL_HOST": host, "MODEL_PORT": str(port)}
    package = _package_of(path)
    if package != path:
        environment["MODEL_REGISTRY"] = str(path.resolve())
    path = package
    if not (path / "api" / "__main__.py").is_file():
        raise PackageError(f"{path} holds no service: api/__main__.py is missing. Give the folder that export wrote.")
    if allow_anonymous:
        environment["MODEL_ALLOW_ANONYMOUS"] = "1"
    _check_door(host, port, environment)
    if as_json:
        _print_json({"url": f"http://{host}:{port}", "package": str(path.resolve())})
    os.chdir(path)
    sys.stdout.flush()
    # In place of this process, so that signals reach the service itself
    os.execve(sys.executable, [sys.executable, "-m", "api"], environment)


def main() -> None:
    """Run the command; what cannot be done is one line and exit status 2."""
    try:
        app(prog_name="automl-wf")
    except (WorkflowError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(UNUSABLE)


def _check_columns(data: Path, table: DataFrame, names: list[str]) -> None:
    missing = [name for name in names if name not in table.columns]
    if not missing:
        return
    there = [str(column) for column in table.columns]
    close = [match for name in missing for match in _close_to(name, there)]
    hint = f" Did you mean {', '.join(map(repr, close))}?" if close else ""
    raise InvalidInput(
        f"{data} has no column {', '.join(map(repr, missing))}.{hint} "
        f"There are {', '.join(map(repr, there[:20]))}{' …' if len(there) > 20 else ''}."
    )


def _close_to(name: str, names: list[str]) -> list[str]:
    """The name that was most likely meant, if there is one."""
    same = [other for other in names if other.casefold() == name.casefold()]
    return same[:1] or difflib.get_close_matches(name, names, n=1)


def _with_numbers(data: Path, table: DataFrame, target: str, task: TaskName, say: Callable[[str], None]) -> DataFrame:
    """A target of text that spells numbers becomes numbers, unless it may be classes."""
    from automl_wf.core.spelled_numbers import read_spelled_numbers

    spelled = read_spelled_numbers(table[target])
    if spelled is None or (task is TaskName.AUTO and not spelled.are_no_classes):
        return table
    if spelled.unreadable:
        raise InvalidInput(
            f"The target {target!r} of {data} is text that spells numbers, but these cells do not: "
            f"{spelled.unreadable_cells}. Correct them, leave them empty with --drop-missing-target, "
            "or take every text for a class with --task classification."
        )
    text, number = spelled.example
    say(
        f"The target {target!r} is text that spells numbers, and read so: {text!r} is {number:.15g}."
        f"{' For classes: --task classification.' if task is TaskName.AUTO else ''}"
    )
    return table.assign(**{target: spelled.values})


def _labelled_rows(data: Path, package: Path, dialect: CsvDialect) -> DataFrame:
    """Rows to compare by, read as the package's schema and task say."""
    from automl_wf.core.frame import read_file
    from automl_wf.core.spelled_numbers import read_spelled_numbers
    from automl_wf.deployment.evidence import Evidence
    from automl_wf.deployment.loading import LoadedModel

    model, target = LoadedModel(package), Evidence(package).facts["target"]
    table = read_file(data, dialect, model.schema)
    spelled = read_spelled_numbers(table[target]) if model.classes_ is None and target in table else None
    return table if spelled is None else table.assign(**{target: spelled.values})


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _with_target(data: Path, table: DataFrame, target: str, is_to_drop: bool) -> DataFrame:
    """The rows that have a target."""
    is_missing = table[target].isna()
    if is_missing.any() and not is_to_drop:
        raise InvalidInput(
            f"{data} lacks the target {target!r} in {int(is_missing.sum())} of {len(table)} rows. "
            "Fill them in, or leave them out with --drop-missing-target."
        )
    return table[~is_missing].reset_index(drop=True) if is_missing.any() else table


def _check_stores(log: Path | None, mlflow: str | None) -> None:
    """Where the fit is to be logged can be written to: found out before the fit."""
    if log is None and mlflow is None:
        return
    from automl_wf.tracking import check_runs_file, check_store

    if log is not None:
        check_runs_file(log)
    if mlflow is not None:
        check_store(mlflow)


def _check_package(path: Path) -> None:
    if not (path / "MANIFEST.json").is_file() and not (path / "model").is_dir():
        raise PackageError(f"{path} is no package: there is neither MANIFEST.json nor model/ in it.")


def _check_door(host: str, port: int, environment: Mapping[str, str]) -> None:
    """The service has keys, or needs none, and its port is free."""
    keys = ("MODEL_API_KEY_HASHES", "MODEL_API_KEY_FILE")
    if not any(environment.get(name) for name in (*keys, "MODEL_ALLOW_ANONYMOUS")):
        raise InvalidInput(
            f"The service has no API key: set {' or '.join(keys)} (docs/deployment.md of the package says how), "
            "or let everybody in who can reach the port with --allow-anonymous."
        )
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(address)
    except OSError as error:
        raise InvalidInput(
            f"{host}:{port} cannot be listened on ({error.strerror or error}). Give another --host or --port."
        ) from error


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _silent(line: str) -> None:
    pass


def _owner_info(info: Path | None, export: Path | None) -> dict[str, Any]:
    """What the owner says; that it can be used, and that the package has a place, is found out before the fit."""
    from automl_wf.deployment.card import owner_info
    from automl_wf.deployment.package import check_free

    if info is not None and export is None:
        raise InvalidInput("--info is for the model card of a package. Say with --export where to write one.")
    if export is not None:
        check_free(export.absolute())
    return {} if info is None else owner_info(_read_json(info))


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} must hold a JSON object, {{…}}. Got {type(content).__name__} instead.")
    return content


def _print_event(event: Event, as_json: bool, way_back: str | None = None) -> None:
    """What was done; after a rollback also what the next one would serve."""
    if as_json:
        _print_json(vars(event))
    elif event.action in ("shadow", "split"):
        typer.echo(f"{event.version} is on trial beside {event.before} ({event.action}; {event.reason})")
    elif event.action == "end":
        typer.echo(f"{event.version} serves alone, {event.before} is no longer on trial ({event.reason})")
    elif event.action == "rollback":
        further = (
            f"a further rollback would serve {way_back}" if way_back else "there is no version to go back to further"
        )
        typer.echo(f"{event.version} serves, {event.before} was serving ({event.reason}); {further}")
    else:
        typer.echo(f"{event.version} serves, {event.before or 'nothing'} before ({event.reason})")


def _package_of(path: Path) -> Path:
    """The package at a path; of a registry the current version."""
    from automl_wf.deployment.registry import VERSIONS, Registry

    return Registry(path).path() if (path / VERSIONS).is_dir() else path


def _facts(model: WorkflowEstimator, package: Package | None) -> dict[str, Any]:
    """What a script wants to know of a fit, and of the package if one was written."""
    from automl_wf.deployment.card import plain

    facts = {
        "task": model.task_,
        "scoring": model.problem_.scoring.name,
        "best_score": model.best_score_,
        "best_params": model.best_params_,
        "evaluation": model.evaluation_.to_dict(),
        "findings": [finding.to_dict() for finding in model.findings_],
        "leaderboard": model.leaderboard_.to_dict("records"),
        "timings": model.timings_,
        "package": None
        if package is None
        else {
            "path": package.path,
            "checklist": [vars(item) for item in package.checklist],
            "completeness": package.completeness,
            "reason": package.reason,
        },
    }
    answer: dict[str, Any] = plain(facts)
    return answer


def _print_fit(model: WorkflowEstimator, package: Package | None) -> None:
    columns = ["rank", "model", "status", "score", "weight", "fit_time_s", "reason"]
    typer.echo(model.leaderboard_[columns].head(20).to_string(index=False))
    if package is not None:
        typer.echo(f"\n{package}")
        calls = (f"verify {package.path}", f"predict {package.path} FILE", f"serve {package.path}")
        typer.echo(f"next: {'; '.join(f'automl-wf {call}' for call in calls)}")


def _print_report(report: Report, is_verbose: bool) -> None:
    typer.echo(f"{report.path}: {'something is wrong' if report.wrong else 'nothing is wrong'}")
    typer.echo(report.sentence)
    for kind, meaning in _KINDS.items():
        checks = [check for check in report.checks if check.kind == kind]
        counts = {
            status: sum(c.status == status for c in checks) for status in ("ok", "edited", "wrong", "not checked")
        }
        if checks:
            typer.echo(f"\n{kind} ({meaning}): {', '.join(f'{n} {status}' for status, n in counts.items() if n)}")
        for check in checks:
            if check.status in ("wrong", "edited"):
                typer.echo(f"  {check.status}: {check.subject}: {check.reason}")
        reasons = dict.fromkeys(c.reason for c in checks if c.status == "not checked")
        for reason in reasons:
            subjects = [c.subject for c in checks if c.status == "not checked" and c.reason == reason]
            named = f": {', '.join(subjects)}" if is_verbose else f", {len(subjects)} in all (--verbose names them)"
            typer.echo(f"  not checked ({reason}){named}")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


if __name__ == "__main__":
    main()
