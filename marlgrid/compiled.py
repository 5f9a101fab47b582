"""How kernels are compiled, in one place.

Compiled code is kept on disk (next to the module, or in numba's own cache folder where that is not writable). It
includes the kernels that it calls, so it is made anew when the file of any of them changes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic
from numba.core.registry import CPUDispatcher


def kernel(function: Callable[..., Any]) -> Any:
    """A kernel called from Python."""
    return _watching(njit(cache=True, nogil=True, no_cfunc_wrapper=True)(function))


def subkernel(function: Callable[..., Any]) -> Any:
    """A part of a kernel that may make arrays. Only compiled code can call it, as with the two that follow.

    Code that takes apart what Python would hand over takes longer to compile than most kernels: a state has some
    seventy arrays.
    """
    return _inner(function)


def rule(function: Callable[..., Any]) -> Any:
    """A part of a kernel that makes no array of its own, put in the place of its call.

    Counting references to the arrays it is handed would take longer than the rule itself (measured on the judge of
    actions: 9 times, and twice for the call).
    """
    return _inner(function, _nrt=False, forceinline=True)


def arithmetic(function: Callable[..., Any]) -> Any:
    """A rule of floating-point numbers: a product and a sum may be rounded once, a division by zero is infinite."""
    fast = {"contract", "nsz", "arcp"}
    return _inner(function, _nrt=False, forceinline=True, error_model="numpy", fastmath=fast)


class _Inner(CPUDispatcher):
    """What only compiled code can call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        name = self.py_func.__name__
        raise TypeError(f"{name} is compiled for kernels alone; call it from a kernel, or make it one")


def _inner(function: Callable[..., Any], **options: Any) -> Any:
    """Compiled without an entry for Python, where calling it would end the process."""
    compiled = njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)
    if isinstance(compiled, CPUDispatcher):  # not with NUMBA_DISABLE_JIT
        compiled.__class__ = _Inner
    return _watching(compiled)


def _watching(compiled: Any) -> Any:
    """Ties the compiled code on disk to the files of all the kernels in it; numba itself looks at the first alone."""
    files = sorted({file for file in _files(compiled.py_func) if Path(file).is_file()})
    if len(files) > 1:
        stats = [Path(file).stat() for file in files]
        compiled._cache._cache_file._source_stamp = tuple((s.st_mtime, s.st_size) for s in stats)  # noqa: SLF001
    return compiled


def _files(function: Any, seen: set[int] | None = None) -> Iterator[str]:
    """Files of a function, of the kernels it calls, and of the records that ``blocks.Layout`` made views for."""
    seen = set() if seen is None else seen
    if id(function) in seen:
        return
    seen.add(id(function))
    yield function.__code__.co_filename
    yield from (str(sys.modules[record.__module__].__file__) for record in getattr(function, "records", ()))
    for name in function.__code__.co_names:
        called = function.__globals__.get(name)
        if isinstance(called, Dispatcher):
            yield from _files(called.py_func, seen)
        elif isinstance(called, _Intrinsic):
            yield called._defn.__code__.co_filename  # noqa: SLF001 (what it is made of)
