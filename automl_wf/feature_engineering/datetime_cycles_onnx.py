"""Calendar cycles in the graph: gathered from constant tables."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering import numeric_scaler_onnx
from automl_wf.feature_engineering.civil_time_onnx import emit_civil_parts, emit_elapsed_days, emit_in_range
from automl_wf.feature_engineering.datetime_cycles import DatetimeCycles, cycle_table
from automl_wf.feature_engineering.datetime_parts_onnx import emit_differences, emit_nan_where


def emit(transformer: DatetimeCycles, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return cycles, weekends and scaled durations as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : DatetimeCycles
        Fitted.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, 1) int64 value per column.
    """
    times, is_missing = emit_in_range(builder, builder.concat(inputs))
    durations = emit_nan_where(builder, is_missing, emit_elapsed_days(builder, times))
    if transformer.pairs_:
        durations = builder.concat([durations, emit_differences(builder, times, is_missing, transformer.pairs_)])
    scaled = numeric_scaler_onnx.emit(transformer.scaler_, builder, [durations])
    cyclic, owners = _emit_cycles(transformer, builder, times)
    if not cyclic:
        return scaled
    zero = builder.constant(0.0, np.float64)
    present = builder.op("Where", builder.columns(is_missing, owners), zero, builder.concat(cyclic))
    return builder.concat([present, scaled])


def _emit_cycles(transformer: DatetimeCycles, builder: GraphBuilder, times: str) -> tuple[list[str], list[int]]:
    """Cycles and weekends in the order of the features, and the column each of their columns belongs to."""
    wanted = {part for cycles in transformer.cycles_ for part in cycles}
    values = emit_civil_parts(builder, times, transformer.zones_, wanted)
    cyclic: list[str] = []
    owners: list[int] = []
    for j, (cycles, has_weekend) in enumerate(zip(transformer.cycles_, transformer.has_weekend_, strict=True)):
        for part in cycles:
            smallest, table = cycle_table(part)
            place = builder.op("Reshape", builder.columns(values[part], [j]), builder.constant([-1], np.int64))
            place = builder.op("Sub", place, builder.constant(smallest, np.int64))
            cyclic.append(builder.op("Gather", builder.constant(table), place, axis=0))
            owners += [j, j]
        if has_weekend:
            cyclic.append(builder.cast(builder.columns(values["is_weekend"], [j]), "double"))
            owners.append(j)
    return cyclic, owners
