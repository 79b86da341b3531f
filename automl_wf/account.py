"""What the fit has to say of itself: decisions with their reasons and facts, findings of the search, five lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from automl_wf.bayesian_hpo import Tuning
from automl_wf.core.agents import Decision
from automl_wf.core.criteria import criteria_findings
from automl_wf.core.findings import Finding
from automl_wf.core.metrics import Scoring
from automl_wf.evaluation import Evaluation
from automl_wf.evaluation.diagnosis import slice_findings
from automl_wf.interpretation import Interpretation
from automl_wf.problem_definition import Problem
from automl_wf.stages import FittedWorkflow, OptimizedModels

#: A call of the metric that takes longer is slow; many calls of a faster one may still not fit into a short time.
SLOW_S = 0.05


def decisions_of(
    optimized: OptimizedModels, evaluation: Evaluation, interpretation: Interpretation, config: Mapping[str, Any]
) -> tuple[Decision, ...]:
    """What was decided from stage 1 to 7, why, and on which fact."""
    return (
        *_decisions_on_data(optimized, evaluation, config),
        *_decisions_on_models(optimized),
        *_decisions_on_trust(optimized.problem.scoring, evaluation, interpretation),
    )


def _decisions_on_data(
    optimized: OptimizedModels, evaluation: Evaluation, config: Mapping[str, Any]
) -> Iterator[Decision]:
    problem, plan, schema = optimized.problem, optimized.data_plan, optimized.data.schema
    n_distinct = problem.n_classes if problem.classes is not None else len(np.unique(optimized.data.target.values))
    yield Decision(
        "problem_definition",
        f"task: {problem.task.value}",
        "given by the user" if config["task"] != "auto" else "inferred from the values of the target",
        f"target {problem.target_name!r} has {n_distinct:,} distinct values in {problem.n_rows:,} rows",
    )
    yield Decision(
        "problem_definition",
        f"metric: {problem.scoring.name}",
        "what the costs of errors imply" if problem.scoring.costs is not None else _whose(config["scoring"]),
        f"{problem.scoring.label}, {'greater' if problem.scoring.greater_is_better else 'smaller'} is better",
    )
    baseline = next((score.baseline for score in evaluation.scores if score.name == evaluation.primary), None)
    yield Decision(
        "problem_definition",
        f"baseline: {problem.baseline}",
        "what every model has to beat",
        f"{problem.scoring.label} of the baseline: " + ("not defined" if baseline is None else f"{baseline:.5g}"),
    )
    ordered = next((f.columns[0] for f in plan.findings if f.code == "time_ordered"), None)
    if not isinstance(config["cv"], str):
        why = "given by the user"
    elif ordered is not None:
        why = f"rows are in the order of {ordered!r}"
    else:
        why = "as many as size and time allow" + ("" if optimized.data.group is None else ", groups kept together")
    yield Decision(
        "data_preparation",
        f"folds: {plan.folds.description}",
        why,
        f"{plan.n_rows:,} rows, time budget {config['time_budget'] or 'none'}",
    )
    shares = ", ".join(f"{name} {share:.1%}" for name, share in list(plan.class_shares.items())[:5])
    yield Decision("data_preparation", f"classes: {plan.imbalance}", "class shares", shares or "no classes")
    for cleaned in plan.cleaning:
        yield Decision("data_preparation", f"rows: {cleaned}", "weights and copies of rows", f"{plan.n_rows:,} rows")
    yield Decision(
        "feature_engineering",
        f"views searched: {', '.join(sorted(optimized.features.distinct_views))}",
        "each holds something of its own for some family of models",
        f"{len(schema.used)} of {len(schema.columns)} columns are used",
    )
    yield Decision(
        "feature_engineering",
        f"features: {'valid' if optimized.validation.is_valid else 'not valid'}",
        "the view for trees was made twice, once more for a row alone, and looked at",
        str(optimized.validation),
    )


def _whose(value: Any) -> str:
    return (
        "the task's default" if value is None or (isinstance(value, str) and value == "auto") else "given by the user"
    )


def _decisions_on_models(optimized: OptimizedModels) -> Iterator[Decision]:
    problem, tuning, profile = optimized.problem, optimized.tuning, optimized.shortlist.profile
    rows = f"{optimized.data_plan.n_rows:,} rows"
    seen = f"{profile.n_rows:,} rows, {profile.n_columns:,} columns, {profile.missing_share:.1%} of the cells missing"
    for recommended in optimized.shortlist.recommendations:
        yield Decision("model_selection", f"model: {recommended.name}", recommended.reason, seen)
    for view, (some, all_) in optimized.cache.thinned.items():
        taught = f"{some:,} of {all_:,} rows"
        yield Decision("bayesian_hpo", f"view {view}: compared on {taught}", "time and memory", taught)
    models = ", ".join(f"{m.name} ({m.weight:.2f})" for m in tuning.blend.members)
    natural = problem.scoring.natural
    best = f"{problem.scoring.label} {natural(tuning.best.score):.5g}"
    scores = ", ".join(f"{name} {natural(score):.5g}" for name, score in tuning.choice.scores.items())
    yield Decision(
        "bayesian_hpo",
        f"ensemble ({tuning.choice.strategy}): {models}",
        "best on rows not used for its weights",
        scores or f"one candidate, {best}",
    )
    yield from _decision_rule(problem, tuning)
    yield Decision("bayesian_hpo", f"final models: {tuning.finish}", "what the number of rows and folds allows", rows)
    resumed = f", {tuning.n_resumed} of them from the checkpoint" if tuning.n_resumed else ""
    yield Decision(
        "bayesian_hpo",
        f"search ended: {tuning.ended}",
        f"{len(tuning.trials)} configurations{resumed}",
        f"best single one: {tuning.best.configuration.model}, {best}",
    )
    if tuning.spread is not None and tuning.spread.n_sent:
        yield Decision(
            "bayesian_hpo",
            "folds: fitted on the workers of joblib's backend",
            "the caller configured one",
            f"{tuning.spread.n_bytes:,} bytes of rows and recipes were sent {tuning.spread.n_sent} time(s)",
        )


def _decisions_on_trust(scoring: Scoring, evaluation: Evaluation, interpretation: Interpretation) -> Iterator[Decision]:
    honest = evaluation.honest
    if honest is not None and honest.value is not None:
        yield Decision(
            "evaluation",
            f"score to expect: {scoring.natural(honest.value):.5g}",
            "the choice of the best of many is repeated in each bootstrap and taken out of the score",
            f"{scoring.natural(honest.best_of_n):.5g} before, {honest.n_bootstraps} bootstraps of "
            f"{honest.n_rows:,} rows",
        )
    beats = {True: "better", False: "not better", None: "undecided"}[evaluation.beats_baseline]
    yield Decision(
        "evaluation",
        f"against the baseline: {beats}",
        "intervals of the difference",
        f"{evaluation.n_rows:,} rows that the models had not seen",
    )
    if interpretation.importances:
        yield Decision(
            "interpretation",
            _what_matters(interpretation),
            f"what shuffling a column costs in {interpretation.label}",
            f"{interpretation.n_rows:,} rows, {interpretation.n_folds} folds, {interpretation.n_repeats} repeats",
        )


def _what_matters(interpretation: Interpretation) -> str:
    top, n_left_out = interpretation.importances[0], len(interpretation.not_run)
    if top.mean is None:
        return "importances: not run, no time"
    among = f" of the {len(interpretation.importances) - n_left_out} columns measured" if n_left_out else ""
    return f"what matters most{among}: {top.column}"


def _decision_rule(problem: Problem, tuning: Tuning) -> tuple[Decision, ...]:
    """By what a class is decided on, or a value shifted, where that is not left to the most probable one."""
    post, is_by_costs = tuning.blend.postprocess, problem.scoring.costs is not None
    why = "costs of errors" if is_by_costs else f"better {problem.scoring.label} on rows not used to choose it"
    if post.costs is not None:
        return (Decision("bayesian_hpo", "decision: the class with the least expected cost", why, str(post.costs)),)
    if post.threshold is not None and problem.classes is not None:
        if is_by_costs and post.threshold != problem.scoring.rule:
            why = f"cheaper than {problem.scoring.rule:.4g}, which the costs imply, on rows not used to choose it"
        label = problem.classes.tolist()[1]
        decision = f"decision: {label!r} from a probability of {post.threshold:.4g}"
        return (Decision("bayesian_hpo", decision, why, f"threshold {post.threshold:.4g}"),)
    if post.shift != 0.0:
        return (
            Decision("bayesian_hpo", f"predictions are shifted by {post.shift:.4g}", why, f"shift {post.shift:.4g}"),
        )
    return ()


def search_findings(
    problem: Problem, tuning: Tuning, evaluation: Evaluation, config: Mapping[str, Any]
) -> list[Finding]:
    found = slice_findings(evaluation.slices)
    failed = [t for t in tuning.trials if t.status == "failed"]
    if failed:
        found.append(
            Finding(
                "failed_trials",
                "warning",
                f"{len(failed)} of {len(tuning.trials)} configurations failed, the first "
                f"({failed[0].configuration.model}) with: {failed[0].reason[:200]}",
                "See the column `reason` of leaderboard_.",
            )
        )
    if tuning.is_clock_limited and config["n_iter"] is not None:
        found.append(
            Finding(
                "clock_limited",
                "info",
                f"The time budget ended the search after {len(tuning.trials)} of {config['n_iter']} configurations.",
                "Set time_budget=None for a result that repeats bit by bit.",
            )
        )
    if tuning.unwritten:
        found.append(
            Finding(
                "checkpoint_incomplete",
                "warning",
                f"A trial could not be written to the checkpoint and would be run again: {tuning.unwritten[:200]}",
                "Estimators of your own must be picklable; check the space left in the folder.",
            )
        )
    if tuning.spread is not None and tuning.spread.losses:
        found.append(
            Finding(
                "workers_lost",
                "warning",
                f"Workers were lost {len(tuning.spread.losses)} time(s), at first with: {tuning.spread.losses[0]}. "
                f"What they had not finished was done again, {tuning.spread.n_here} fold(s) of it in this process.",
                "The result is the same. Look into the workers' logs: most often their memory was too small.",
            )
        )
    if tuning.is_metric_slow:
        threshold = ", or to seek a threshold" if problem.scoring.needs == "label" else ""
        found.append(
            Finding(
                "slow_metric",
                "warning" if tuning.score_time_s > SLOW_S else "info",
                f"The time was too short to compare all ways of blending{threshold}: one call of the metric takes "
                f"{tuning.score_time_s:.2g} s.",
                "Give more time, or a metric that is faster." if tuning.score_time_s > SLOW_S else "Give more time.",
            )
        )
    if all(t.configuration.source == "baseline" for t in tuning.trials if t.status == "ok"):
        found.append(
            Finding(
                "only_baseline",
                "serious",
                "Only the baseline could be fitted in the time.",
                "Give more time, fewer columns, or a sample of the rows.",
            )
        )
    found += criteria_findings(evaluation.criteria)
    if evaluation.beats_baseline is False:
        found.append(
            Finding(
                "not_better_than_baseline",
                "serious",
                "The model is not better than the baseline beyond chance.",
                "Look for columns that have to do with the target; do not use this model.",
            )
        )
    return found


def all_rows_findings(tuning: Tuning, drawn: Sequence[Finding]) -> list[Finding]:
    """Which members of a model that was searched for on a sample have learnt from the rest of the table."""
    if not any(f.code == "searched_on_sample" for f in drawn):
        return []
    is_partly = "of the sample" in tuning.finish or "of all partitions" in tuning.finish
    advice = "More time, more memory for the workers, or other estimators let all members learn from all rows."
    return [
        Finding(
            "final_models_of_partitions",
            "warning" if is_partly else "info",
            f"Final models: {tuning.finish}.",
            advice if is_partly else "Nothing is to be done.",
        )
    ]


def summary(result: FittedWorkflow, next_call: str = "") -> list[str]:
    """A line each: the model, the honest score with its interval, the baseline, the gravest finding, the next call."""
    members = ", ".join(f"{m.name} {m.weight:.0%}" for m in result.tuning.blend.members[:4])
    evaluation = result.evaluation
    honest = evaluation.honest
    name = result.problem.scoring.label
    natural = result.problem.scoring.natural
    of_sample = " (models of the sample)" if any(f.code == "searched_on_sample" for f in result.findings) else ""
    if honest is not None and honest.value is not None and honest.interval is not None:
        low, high = sorted(natural(end) for end in honest.interval)
        score = f"{name}: {natural(honest.value):.5g} on new rows{of_sample}, 95 % interval {low:.5g} to {high:.5g}"
    else:
        score = f"{name}: {natural(result.tuning.best.score):.5g} out of fold (too little for an interval)"
    gravest = result.findings[0] if result.findings else None
    n_trials, seconds = len(result.tuning.trials), result.timings["total"]
    return [
        f"model: {members}; {n_trials} configurations in {seconds:.1f} s",
        score,
        f"baseline: {natural(result.tuning.baseline.score):.5g} ({result.problem.baseline})",
        f"finding: {gravest.message} {gravest.advice}" if gravest else "finding: none",
        *([f"next: {next_call}"] if next_call else []),
    ]
