"""Stage 3: which features are made of which columns, as unfitted recipes that every fold fits for itself."""

from __future__ import annotations

from automl_wf.feature_engineering.plan import FeaturePlan, plan_features

__all__ = ["FeaturePlan", "plan_features"]
