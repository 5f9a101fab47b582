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


def kernel(function: Callable[..., Any]) -> Any:
    """A kernel called from Python, or one that makes arrays."""
    return _watching(njit(cache=True, nogil=True)(function))


def rule(function: Callable[..., Any]) -> Any:
    """A part of a kernel that makes no array of its own, put in the place of its call.

    Counting references to the arrays it is handed would take longer than the rule itself (measured on the judge of
    actions: 9 times, and twice for the call).
    """
    return _watching(njit(cache=True, nogil=True, _nrt=False, forceinline=True)(function))


def arithmetic(function: Callable[..., Any]) -> Any:
    """A rule of floating-point numbers: a product and a sum may be rounded once, a division by zero is infinite."""
    fast = {"contract", "nsz", "arcp"}
    made = njit(cache=True, nogil=True, _nrt=False, forceinline=True, error_model="numpy", fastmath=fast)
    return _watching(made(function))


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
