"""Parameters against their constraints, threads and memory that are really granted."""

from __future__ import annotations

import ctypes
import sys
from numbers import Integral
from pathlib import Path

import pytest
from joblib import Parallel, delayed

from automl_wf.core import compat
from automl_wf.core.compat import (
    Interval,
    StrOptions,
    check_parameters,
    free_memory,
    give_back_memory,
    usable_threads,
)
from automl_wf.exceptions import InvalidParameter


def test_a_wrong_parameter_is_named_with_what_it_may_be() -> None:
    constraints = {"kind": [StrOptions({"a", "b"})], "n": [Interval(Integral, 1, None, closed="left"), None]}
    check_parameters(constraints, {"kind": "a", "n": None}, "Owner")
    with pytest.raises(InvalidParameter, match=r"The 'n' parameter of Owner must be .* Got 0 instead"):
        check_parameters(constraints, {"kind": "a", "n": 0}, "Owner")


def test_threads_count_back_from_what_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "cpu_count", lambda: 8)
    assert [usable_threads(n) for n in (None, 1, 3, -1, -2, -100)] == [8, 1, 3, 8, 7, 1]


def test_inside_another_loop_there_is_one_thread_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "cpu_count", lambda: 8)
    inside = Parallel(n_jobs=2, prefer="threads")(delayed(usable_threads)(n) for n in (None, 2))
    assert inside == [1, 2]


def test_memory_is_what_the_machine_and_the_group_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 1000 kB\n",
        "/sys/fs/cgroup/memory.max": "900000\n",
        "/sys/fs/cgroup/memory.current": "500000\n",
        "/sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 200000\n",
    }

    def read_text(path: Path) -> str:
        if str(path) not in files:
            raise FileNotFoundError(path)
        return files[str(path)]

    monkeypatch.setattr(Path, "read_text", read_text)
    assert free_memory() == 900_000 - (500_000 - 200_000)
    files["/sys/fs/cgroup/memory.current"] = "5000000\n"
    assert free_memory() == 0.0
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert free_memory() == 1000 * 1024
    files.clear()
    assert free_memory() > 0


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library keeps nothing back"
)
def test_freed_memory_goes_back_to_the_system() -> None:
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    blocks = [library.malloc(60_000) for _ in range(2_000)]
    for block in blocks:
        ctypes.memset(block, 1, 60_000)
    # The last one stays: what lies below it is not given back by itself.
    for block in blocks[:-1]:
        library.free(block)
    before = resident_bytes()
    give_back_memory()
    assert before - resident_bytes() > 100e6
    library.free(blocks[-1])
