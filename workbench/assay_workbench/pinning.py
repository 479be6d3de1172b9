"""Training that does not depend on how many processors a machine has, nor on which.

Sums of many numbers differ in the last digits with the order in which they are added up, and that
depends on threads and on the kernel that a linear algebra library picks for the processor. Threads
are set to one. The kernel can be chosen only before numpy is loaded, so the process starts again
once with the environment that says so.
"""

import importlib
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")  # fmt: skip

_KERNELS = {"x86_64": "Haswell", "amd64": "Haswell", "aarch64": "ARMV8", "arm64": "ARMV8"}
"""OpenBLAS's kernel that nearly all processors of an architecture can run."""


def pinned(features: Mapping[str, bool], dispatched: list[str], machine: str) -> dict[str, str]:
    """Return the environment that pins threads and kernels.

    Parameters
    ----------
    features
        What the processor can do, in numpy's words.
    dispatched
        Those for which this numpy has code of its own beyond its baseline.
    machine
        Architecture.
    """
    found = dict(_THREADS)
    kernel = _KERNELS.get(machine.lower())
    if kernel == "Haswell" and not features.get("AVX2", False):
        kernel = None
    if kernel is not None:
        found["OPENBLAS_CORETYPE"] = kernel
    wide = [name for name in dispatched if _is_wide(name) and features.get(name, False)]
    if wide:
        found["NPY_DISABLE_CPU_FEATURES"] = " ".join(wide)
    return found


def _is_wide(name: str) -> bool:
    """Whether a name is of AVX-512, whose functions round in another way than those of AVX2."""
    return name.startswith("AVX512") or name == "X86_V4"


def environment() -> dict[str, str]:
    """Return what is to be set on this machine."""
    # numpy tells this nowhere else, and numpy.show_config prints it from here.
    core: Any = importlib.import_module("numpy._core._multiarray_umath")
    return pinned(core.__cpu_features__, core.__cpu_dispatch__, platform.machine())


def start_again() -> None:
    """Start this process again with pinned threads and kernels, unless it has them already."""
    wanted = environment()
    if "NPY_DISABLE_CPU_FEATURES" in os.environ:
        wanted.pop("NPY_DISABLE_CPU_FEATURES", None)
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})  # noqa: S606 - itself


@contextmanager
def one_thread() -> Iterator[None]:
    """Let linear algebra and scikit-learn's loops run in one thread."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - brought by scikit-learn

    with threadpool_limits(limits=1):
        yield
