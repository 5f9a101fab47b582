"""How kernels are compiled, in one place.

Compiled code is kept on disk (next to the module, or in numba's own cache folder where that is not writable). It
includes the kernels that it calls, so it is made anew when the file of any of them changes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


def kernel(function: Callable[..., Any]) -> Any:
    """A kernel called from Python."""
    return _watching(njit(cache=True, nogil=True, no_cfunc_wrapper=True)(function))


def kernel_in_place(function: Callable[..., Any]) -> Any:
    """A kernel called from Python that makes no arrays but ``scratch``: no references are counted.

    Counting those to the arrays of a state took half of the time of a step's kernels. A division by zero is infinite:
    looking out for zeros keeps loops from working on several numbers at once.
    """
    return _watching(njit(cache=True, nogil=True, no_cfunc_wrapper=True, _nrt=False, error_model="numpy")(function))


@intrinsic
def scratch(typingctx: Any, n: Any, dtype: Any) -> Any:  # noqa: ARG001 (numba's form)
    """``n`` zeros on the stack, an array that ends with the function it is made in: not to be returned, nor to be made
    inside of a loop (a function that makes some may be called in a loop)."""
    item = dtype.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        made = make_array(signature.return_type)(context, builder)
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(item)))
        n_byte = builder.mul(args[0], itemsize)
        data = builder.alloca(cgutils.int8_t, size=n_byte)
        data.align = 64
        cgutils.memset(builder, data, n_byte, 0)
        data = builder.bitcast(data, made.data.type)
        populate_array(made, data=data, shape=[args[0]], strides=[itemsize], itemsize=itemsize, meminfo=None)
        return made._getvalue()  # noqa: SLF001 (numba's form)

    return types.Array(item, 1, "C")(types.intp, dtype), codegen


@intrinsic
def ask_for(typingctx: Any, array: Any, index: Any) -> Any:  # noqa: ARG001 (numba's form)
    """Has the processor fetch ``array[index]`` (one axis, contiguous) from memory, and goes on meanwhile.

    Memory answers many such questions at once, where a loop that reads row after row waits for each.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        given = make_array(signature.args[0])(context, builder, args[0])
        place = builder.bitcast(cgutils.gep(builder, given.data, args[1]), cgutils.voidptr_t)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, *[cgutils.int32_t] * 3])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, data = (cgutils.int32_t(n) for n in (0, 3, 1))
        builder.call(fetch, [place, read, keep, data])
        return context.get_dummy_value()

    return types.none(array, types.intp), codegen


def subkernel(function: Callable[..., Any]) -> Any:
    """A part of a kernel that may make arrays. Only compiled code can call it, as with the two that follow.

    Code that takes apart what Python would hand over takes longer to compile than most kernels: a state has some
    seventy arrays.
    """
    return _inner(function)


def rule(function: Callable[..., Any]) -> Any:
    """A part of a kernel that makes no array of its own but ``scratch``, put in the place of its call.

    Nor may it return an array that it was given to a ``kernel`` or ``subkernel``, which would let go of it twice.

    Counting references to the arrays it is handed would take longer than the rule itself (measured on the judge of
    actions: 9 times, and twice for the call). A division by zero is infinite, as in the kernels above.
    """
    return _inner(function, _nrt=False, forceinline=True, error_model="numpy")


def arithmetic(function: Callable[..., Any]) -> Any:
    """A rule of floating-point numbers: a product and a sum may be rounded once, as in no other."""
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


def is_compiled(compiled: Any) -> bool:
    """Whether a kernel's compiled code is on disk, made from the files as they are (or nothing is compiled at all)."""
    return not isinstance(compiled, CPUDispatcher) or bool(compiled._cache._cache_file._load_index())  # noqa: SLF001


def cache_folder(compiled: Any) -> Path:
    """Where a kernel's compiled code is kept."""
    return Path(compiled._cache.cache_path)  # noqa: SLF001


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
