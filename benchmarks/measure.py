"""Paired timings, peak memory, and the machine they come from."""

from __future__ import annotations

import ctypes
import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch


def interleaved(
    functions: dict[str, Callable[[], None]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each function, all of them in turn in every round (after one unmeasured round).

    In its turn a function runs three times and the median counts, so that no function pays for the caches and the memory
    that the one before it has left. With ``time.process_time`` as the clock, on one thread, the time that a busy machine gives
    to others does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            turn = []
            for _ in range(3):
                _finish()
                start = clock()
                function()
                _finish()
                turn.append(clock() - start)
            if number:
                seconds[name].append(statistics.median(turn))
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_bytes(function: Callable[[], None]) -> int:
    """Growth of the resident set (CUDA: of the allocated memory) above what it was before the call."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls left to the allocator would hide the growth
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = _status("VmRSS")
    function()
    return max(0, _status("VmHWM") - before)


def resident_bytes() -> int:
    """The resident set now, after what was freed has gone back to the system."""
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def machine() -> str:
    """One line: date, processor with its instruction set, cores, versions."""
    processor = next(
        (line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")), platform.processor()
    )
    device = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{datetime.date.today()}, {processor} ({torch.backends.cpu.get_cpu_capability()}){device}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
