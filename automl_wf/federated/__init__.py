"""Federated learning: rows stay with their owners, sums travel, and one model on raw columns comes out."""

from __future__ import annotations

from automl_wf.federated.client import FederatedClient
from automl_wf.federated.message import Message
from automl_wf.federated.model import FederatedModel
from automl_wf.federated.server import FederatedServer
from automl_wf.federated.simulation import Simulation, simulate
from automl_wf.model_selection.histogram_trees import BoostingSettings

__all__ = [
    "BoostingSettings",
    "FederatedClient",
    "FederatedModel",
    "FederatedServer",
    "Message",
    "Simulation",
    "simulate",
]
