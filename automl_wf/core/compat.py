"""The only home of private, version-bound and environment-bound things."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

from joblib import cpu_count
from joblib.externals.loky.backend.reduction import dumps
from joblib.parallel import get_active_backend
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from threadpoolctl import threadpool_limits

from automl_wf.exceptions import InvalidParameter

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_parameters",
    "check_sample_weight",
    "free_memory",
    "give_back_memory",
    "load_onnxruntime",
    "one_blas_thread",
    "peak_memory",
    "pickled_by_value",
    "usable_threads",
]


def check_parameters(constraints: Mapping[str, list[Any]], params: Mapping[str, Any], owner: str) -> None:
    """Hold parameters against their declared constraints, in scikit-learn's wording.

    Raises
    ------
    InvalidParameter
        A parameter is not what it may be.
    """
    try:
        validate_parameter_constraints(dict(constraints), dict(params), caller_name=owner)
    except InvalidParameterError as error:
        raise InvalidParameter(str(error)) from None


def load_onnxruntime() -> ModuleType:
    """onnxruntime, imported when first needed and told to keep to itself.

    Since 1.32 its import opens a database in the home and sends telemetry, unless this variable is set before.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    module: ModuleType = onnxruntime
    return module


def pickled_by_value(thing: Any) -> bytes:
    """A pickle that holds lambdas, and classes of `__main__`, themselves: it can be opened in another process."""
    return bytes(dumps(thing))


def one_blas_thread() -> AbstractContextManager[Any]:
    """A context in which sums are made in one order, however many threads there are.

    A minimiser multiplies their last digits: without this, weights computed again with another number of threads
    differ in the eleventh digit.
    """
    context: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return context


def usable_threads(n_jobs: int | None) -> int:
    """Threads that may run at a time.

    None: all that the machine, the affinity mask and the cgroup grant, but 1 inside another joblib loop, so that an
    outer grid search does not start threads that fight. Negative numbers count back from all, as in scikit-learn.
    """
    granted = max(int(cpu_count()), 1)
    if n_jobs is None:
        backend, _ = get_active_backend()
        return 1 if getattr(backend, "nesting_level", 0) else granted
    return max(granted + 1 + n_jobs, 1) if n_jobs < 0 else max(int(n_jobs), 1)


def peak_memory() -> int | None:
    """Most bytes that this process has held so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, others kibibytes
    return peak if sys.platform == "darwin" else peak * 1024


def give_back_memory() -> None:
    """Give memory that was freed back to the system: glibc keeps what many threads had used, for each of them."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def free_memory() -> float:
    """Bytes that the machine and the cgroup still grant; infinite where neither tells."""
    free = float("inf")
    try:
        free = float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = float(line.split()[1]) * 1024
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit == "max":
            return free
        used = float(Path("/sys/fs/cgroup/memory.current").read_text())
        for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines():
            # Files that were read and not looked at since give way to whoever needs the memory.
            if line.startswith("inactive_file "):
                used -= float(line.split()[1])
        return min(free, max(float(limit) - used, 0.0))
    except (OSError, ValueError, AttributeError):
        return free
