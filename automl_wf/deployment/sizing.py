"""What a container of the service needs, from what was measured while the package was written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_MIB, _STEP_MIB = 2**20, 64
#: What the web framework takes beside the measured process, which only loads the graph and predicts a thousand rows.
_FRAMEWORK_MIB = 64
_UNMEASURED_MIB = 448
_TAG = re.compile(r"[^A-Za-z0-9_.-]")


def sizing_of(measured: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Sizes for a container, and what one core can do.

    Parameters
    ----------
    measured : mapping
        "latency" and "memory", as `evidence.measure` returns them.
    version : str
        Version of the model.

    Returns
    -------
    dict
        "cpu", "memory_request", "memory_limit" as Kubernetes writes them; "peak_mib" (None: not measured);
        "rows_per_s" in thousands of rows together and "requests_per_s" of one row, of one core without HTTP;
        "image_tag".

    Notes
    -----
    The request is the measured peak and the web framework, in steps of 64 MiB; the limit is twice that, since two
    versions are open while one takes over from the other.
    """
    peak = measured["memory"]["peak_bytes"]
    latency = measured["latency"]
    needed = _UNMEASURED_MIB if peak is None else peak / _MIB
    request = math.ceil((needed + _FRAMEWORK_MIB) / _STEP_MIB) * _STEP_MIB
    return {
        "cpu": "1",
        "memory_request": f"{request}Mi",
        "memory_limit": f"{2 * request}Mi",
        "peak_mib": None if peak is None else math.ceil(peak / _MIB),
        "rows_per_s": int(1000 / latency["thousand_rows_s"]),
        "requests_per_s": int(1 / latency["one_row_p50_s"]),
        "image_tag": _TAG.sub("-", version).lstrip(".-")[:128] or "unnamed",
    }
