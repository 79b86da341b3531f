"""Calendar parts and elapsed time in the graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.civil_time_onnx import emit_civil_parts, emit_elapsed_days, emit_in_range
from automl_wf.feature_engineering.datetime_parts import DatetimeParts


def emit(transformer: DatetimeParts, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return calendar parts, elapsed days and differences as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : DatetimeParts
        Fitted.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, 1) int64 value per column.
    """
    times, is_missing = emit_in_range(builder, builder.concat(inputs))
    blocks = [_emit_parts(transformer, builder, times, is_missing)]
    if transformer.pairs_:
        blocks.append(emit_differences(builder, times, is_missing, transformer.pairs_))
    return builder.concat(blocks)


def _emit_parts(transformer: DatetimeParts, builder: GraphBuilder, times: str, is_missing: str) -> str:
    n_columns = len(transformer.parts_)
    wanted = {part for parts in transformer.parts_ for part in parts}
    values = emit_civil_parts(builder, times, transformer.zones_, wanted)
    used = [part for part in values if part in wanted]
    calendar = [builder.cast(builder.concat([values[part] for part in used]), "double")] if used else []
    everything = builder.concat([*calendar, emit_elapsed_days(builder, times)])
    places, owners = [], []
    for j, parts in enumerate(transformer.parts_):
        chosen = [used.index(part) for part in parts] + [len(used)]
        places += [k * n_columns + j for k in chosen]
        owners += [j] * len(chosen)
    return emit_nan_where(builder, builder.columns(is_missing, owners), builder.columns(everything, places))


def emit_differences(builder: GraphBuilder, times: str, is_missing: str, pairs: Sequence[tuple[int, int]]) -> str:
    """Return days from the first to the second column of each pair; NaN where either is missing."""
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    days = emit_elapsed_days(builder, builder.op("Sub", builder.columns(times, second), builder.columns(times, first)))
    either = builder.op("Or", builder.columns(is_missing, first), builder.columns(is_missing, second))
    return emit_nan_where(builder, either, days)


def emit_nan_where(builder: GraphBuilder, condition: str, values: str) -> str:
    """Return `values`, NaN where `condition` holds."""
    return builder.op("Where", condition, builder.constant(np.nan, np.float64), values)
