"""A scikit-learn pipeline of public transformers in the graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sklearn.pipeline import Pipeline

from automl_wf.exceptions import InvalidParameter, NotExportable
from automl_wf.feature_engineering.table_transformer import TableTransformer, graph_of

if TYPE_CHECKING:
    from onnx import ModelProto


def pipeline_to_onnx(pipeline: Pipeline) -> ModelProto:
    """Write a fitted pipeline of the feature transformers as one ONNX graph, from raw columns to features.

    Inputs, outputs and metadata are those of `to_onnx` of a single transformer. What `transform` of the pipeline gives
    and what the graph gives differ by no more than the last bits of a logarithm.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted; each step is one of the five transformers, a pipeline of them or "passthrough". Of a pipeline that ends
        in a learner: `pipeline[:-1]`.

    Returns
    -------
    ModelProto
        One graph in double precision.

    Raises
    ------
    InvalidParameter
        This is no pipeline.
    NotExportable
        A step is no transformer of automl_wf, two steps read one column in two ways, or nothing comes out.

    See Also
    --------
    NumericalFeatureEngineering.to_onnx : A single transformer; says what goes in and what comes out.

    Notes
    -----
    `InteractionFeatures(scaling=None)` after `NumericalFeatureEngineering()` divides by logarithms: where a divisor is
    within a millionth of 0, the last bit of the logarithm is no longer the last bit of the quotient.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.pipeline import make_pipeline
    >>> from automl_wf import CategoricalFeatureEngineering, NumericalFeatureEngineering, pipeline_to_onnx
    >>> X = pd.DataFrame({"age": [20.0, None, 40.0] * 3, "city": ["Oslo", "Rome", "Oslo"] * 3})
    >>> pipeline = make_pipeline(NumericalFeatureEngineering(), CategoricalFeatureEngineering()).fit(X)
    >>> graph = pipeline_to_onnx(pipeline).graph
    >>> [value.name for value in graph.input], [value.name for value in graph.output]
    (['age', 'city'], ['features'])
    """
    if not isinstance(pipeline, Pipeline):
        raise InvalidParameter(
            f"The 'pipeline' parameter of pipeline_to_onnx must be a Pipeline of scikit-learn. Got {pipeline!r} "
            "instead. A single transformer has to_onnx()."
        )
    chain = list(_transformers(pipeline))
    if not chain:
        raise NotExportable("The pipeline has no transformer: there is nothing to write.")
    return graph_of(chain)


def _transformers(pipeline: Pipeline) -> Iterator[tuple[str, TableTransformer]]:
    for name, step in pipeline.steps:
        if isinstance(step, Pipeline):
            yield from _transformers(step)
        elif isinstance(step, TableTransformer):
            yield name, step
        elif not _is_passed_through(step):
            raise NotExportable(
                f"Step {name!r} ({type(step).__name__}) has no graph here: expected the feature transformers of "
                "automl_wf. Leave a learner at the end out with pipeline[:-1]."
            )


def _is_passed_through(step: Any) -> bool:
    return step is None or (isinstance(step, str) and step == "passthrough")
