"""The `automl-wf` command: a thin skin over `fit`, `export`, `verify`, the registry, and a way to start a service."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl_wf.core.frame import read_file
from automl_wf.exceptions import InvalidInput, PackageError, WorkflowError

if TYPE_CHECKING:
    from automl_wf.deployment import Package, Report
    from automl_wf.estimator import WorkflowEstimator

#: Exit statuses: all is well; something is wrong with the package; what was asked for cannot be done.
OK, WRONG, UNUSABLE = 0, 1, 2
#: Checks by class, and what the class means.
_KINDS = {
    "file": "files, compared with MANIFEST.json",
    "exact": "computed again from the package",
    "tolerance": "measured again on this machine",
    "data": "computed again from the training table",
    "once": "measured once: compared with the record",
}

app = typer.Typer(
    name="automl-wf",
    help="From a raw table to a verified model package.",
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
    group: Annotated[
        str | None,
        typer.Option(help="Column whose rows of one value stay together; the query when ranking. Not an input."),
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Column to leave out; may be given more than once.")] = None,
    task: Annotated[TaskName, typer.Option(help="What is predicted.")] = TaskName.AUTO,
    scoring: Annotated[str, typer.Option(help="Name of the score to optimise.")] = "auto",
    time_budget: Annotated[float, typer.Option(help="Seconds for the whole fit; 0: no limit.")] = 60.0,
    n_iter: Annotated[int | None, typer.Option(help="Number of configurations.")] = None,
    preset: Annotated[Preset, typer.Option(help="Effort, or models that people can read.")] = Preset.BALANCED,
    random_state: Annotated[int | None, typer.Option(help="Seed.")] = None,
    export: Annotated[Path | None, typer.Option(help="Folder to write the package to.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Fit a model on a table and, with --export, write its package."""
    from automl_wf.estimator import WorkflowEstimator

    table = read_file(data)
    missing = [name for name in (target, *filter(None, [group]), *(drop or ())) if name not in table.columns]
    if missing:
        raise InvalidInput(
            f"{data} has no column {', '.join(map(repr, missing))}. "
            f"There are {', '.join(map(repr, table.columns[:20]))}{' …' if table.shape[1] > 20 else ''}."
        )
    model = WorkflowEstimator(
        task=task.value,
        scoring=scoring,
        time_budget=time_budget or None,
        n_iter=n_iter,
        preset=preset.value,
        random_state=random_state,
        verbose=0 if quiet else 1,
    )
    inputs = table.drop(columns=list({target, *filter(None, [group]), *(drop or ())}))
    model.fit(inputs, table[target], groups=None if group is None else table[group])
    package = None if export is None else model.export(export)
    if as_json:
        _print_json(_facts(model, package))
    elif not quiet:
        _print_fit(model, package)


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="Folder of the package.")],
    data: Annotated[Path | None, typer.Option(help="The training table, for the figures computed from it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every check as JSON.")] = False,
) -> None:
    """Compute a package's figures again. Exit status 0: nothing is wrong; 1: something is; 2: it cannot be told."""
    from automl_wf.deployment.verify import verify as verify_package

    report = verify_package(path, data)
    if as_json:
        _print_json(report.to_dict())
    else:
        _print_report(report)
    raise typer.Exit(OK if report.ok else WRONG)


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="Package that serves, or a registry: its current version.")],
    new: Annotated[Path, typer.Argument(help="Package that might take its place.")],
    data: Annotated[Path, typer.Option(help="Labelled rows that neither was trained on: .csv or .parquet.")],
    group: Annotated[str | None, typer.Option(help="Column of the queries, when ranking.")] = None,
    margin: Annotated[float, typer.Option(min=0.0, help="Loss that is accepted, in units of the metric.")] = 0.0,
    out: Annotated[Path | None, typer.Option(help="File to write the decision to, for `promote`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the decision as JSON.")] = False,
) -> None:
    """Compare two packages on the same rows. Exit status 0: promote; 1: keep the old one, or undecided."""
    from automl_wf.deployment.comparison import compare_packages

    found = compare_packages(_package_of(old), new, data, group=group, margin=margin)
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
def promote(
    package: Annotated[Path, typer.Argument(help="Package to serve from now on.")],
    registry: Annotated[Path, typer.Option(help="Folder of versions; made by the first promotion.")],
    decision: Annotated[Path | None, typer.Option(help="promotion.json, as `compare --out` wrote it.")] = None,
    force: Annotated[str | None, typer.Option(help="Promote all the same, for this reason.")] = None,
) -> None:
    """Make a package the current version of a registry; a running service changes over by itself."""
    from automl_wf.deployment.registry import Registry

    content = None if decision is None else json.loads(decision.read_text(encoding="utf-8"))
    event = Registry(registry).promote(package, content, force=force)
    typer.echo(f"{event.version} serves, {event.before or 'nothing'} before ({event.reason})")


@app.command()
def rollback(
    registry: Annotated[Path, typer.Option(help="Folder of versions.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
) -> None:
    """Go back to the version before; a running service changes over by itself."""
    from automl_wf.deployment.registry import Registry

    event = Registry(registry).rollback(reason)
    typer.echo(f"{event.version} serves, {event.before} before ({event.reason})")


@app.command()
def serve(
    path: Annotated[Path, typer.Argument(help="Folder of the package, or a registry.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on.")] = 8000,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Let everybody call who can reach the port, without a key.")
    ] = False,
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
    os.chdir(path)
    sys.stdout.flush()
    # In place of this process, so that signals reach the service itself
    os.execve(sys.executable, [sys.executable, "-m", "api"], environment)


def main() -> None:
    """Run the command; an error of automl_wf is one line and exit status 2."""
    try:
        app(prog_name="automl-wf")
    except WorkflowError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(UNUSABLE)


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
        typer.echo(f"next: automl-wf verify {package.path}; automl-wf serve {package.path}")


def _print_report(report: Report) -> None:
    typer.echo(f"{report.path}: {'something is wrong' if report.wrong else 'nothing is wrong'}")
    for kind, meaning in _KINDS.items():
        checks = [check for check in report.checks if check.kind == kind]
        counts = {status: sum(c.status == status for c in checks) for status in ("ok", "wrong", "not checked")}
        if checks:
            typer.echo(f"\n{kind} ({meaning}): {', '.join(f'{n} {status}' for status, n in counts.items() if n)}")
        for check in checks:
            if check.status == "wrong":
                typer.echo(f"  wrong: {check.subject}: {check.reason}")
        reasons = dict.fromkeys(c.reason for c in checks if c.status == "not checked")
        for reason in reasons:
            subjects = [c.subject for c in checks if c.status == "not checked" and c.reason == reason]
            typer.echo(f"  not checked ({reason}): {', '.join(subjects)}")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


if __name__ == "__main__":
    main()
