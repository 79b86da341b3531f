"""Stage 8, deployment: a verified package that somebody else can run, watch and roll back."""

from automl_wf.core.fingerprint import fingerprint
from automl_wf.deployment.loading import LoadedModel, load
from automl_wf.deployment.package import Package, deploy
from automl_wf.deployment.subject import Subject, describe_environment
from automl_wf.deployment.verify import Report, verify

__all__ = [
    "LoadedModel",
    "Package",
    "Report",
    "Subject",
    "deploy",
    "describe_environment",
    "fingerprint",
    "load",
    "verify",
]
