"""Records of arrays in one block of memory: to compiled code a record is one argument, however many arrays it has.

Handing an array to a kernel takes 0.1 microseconds and a nested record of seventy takes more than the step it is for.
So the arrays of a record are views of one block, which begins with the sizes that they follow from; a kernel is given
the block and sees the record again through ``Layout.view``, which costs nothing there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

Record = TypeVar("Record")

ENV = "env"
"""The size that stands for the number of environments: the leading axis of every array of a batched record."""


class Field(NamedTuple):
    """One array of a record, as its annotation says: ``Annotated[np.ndarray, "size ...", dtype]``."""

    path: tuple[str, ...]
    sizes: tuple[str, ...]
    """Names of the lengths of its axes after the first; none for one number per environment."""
    dtype: np.dtype


class Layout(Generic[Record]):
    """Where each array of a (nested) NamedTuple stands in a block.

    Args:
        record: the class; every array is annotated ``Annotated[np.ndarray, "size ...", dtype]``.
        batched: whether arrays have a leading axis of environments.
    """

    def __init__(self, record: type[Record], batched: bool = True) -> None:
        self.record, self.batched = record, batched
        self.fields = tuple(_fields(record, ()))
        self.sizes = tuple(dict.fromkeys([ENV, *(size for field in self.fields for size in field.sizes)]))
        # the widest numbers first keeps every array aligned; sorting is stable, so neighbours stay neighbours
        self._order = sorted(range(len(self.fields)), key=lambda i: -_width(self.fields[i].dtype))
        self.view = self._compiled_view()
        """Compiled, for kernels only: the record of a block."""

    def new(self, **sizes: int) -> tuple[np.ndarray, Record]:
        """A block of zeros and its record: ``new(env=2, line=20, ...)``."""
        missing = set(self.sizes) - {ENV} - set(sizes)
        if missing:
            raise ValueError(f"the sizes {sorted(missing)} of {self.record.__name__} are missing")
        length = {ENV: 1} | {name: int(sizes[name]) for name in self.sizes if name in sizes}
        lengths = [self._length(field, length) * field.dtype.itemsize for field in self.fields]
        head = 8 * len(self.sizes)
        block = np.zeros(-(-(head + sum(lengths)) // 16) + 1, dtype=np.complex128).view(np.uint8)
        block[:head].view(np.int64)[:] = [length[name] for name in self.sizes]
        arrays: dict[int, np.ndarray] = {}
        at = head
        for i in self._order:
            shape = self._shape(self.fields[i], length)
            arrays[i] = block[at : at + lengths[i]].view(self.fields[i].dtype).reshape(shape)
            at += lengths[i]
        return block, _build(self.record, iter([arrays[i] for i in range(len(self.fields))]))

    def _length(self, field: Field, length: dict[str, int]) -> int:
        return int(np.prod(self._shape(field, length), dtype=np.int64))

    def _shape(self, field: Field, length: dict[str, int]) -> tuple[int, ...]:
        own = tuple(length[size] for size in field.sizes)
        return (length[ENV], *own) if self.batched else own

    def _compiled_view(self) -> Any:
        """The function that makes the record of a block; its text follows from the fields."""
        names: dict[str, Any] = {"array": _array, "int64": np.int64}
        lines = ["def view(block):", " at = block.ctypes.data", f" n = array(at, ({len(self.sizes)},), int64)"]
        lines += [f" {size} = n[{i}]" for i, size in enumerate(f"n_{size}" for size in self.sizes)]
        lines.append(f" at += {8 * len(self.sizes)}")
        for i in self._order:
            field = self.fields[i]
            names[f"dtype_{i}"] = field.dtype if field.dtype.names else field.dtype.type
            own = [f"n_{size}" for size in field.sizes]
            shape = ([f"n_{ENV}"] if self.batched else []) + own
            lines.append(f" a{i} = array(at, ({', '.join(shape)},), dtype_{i})")
            lines.append(f" at += {' * '.join([str(field.dtype.itemsize), *shape])}")
        made = _construction(self.record, iter(range(len(self.fields))), names)
        exec("\n".join([*lines, f" return {made}"]), names)
        view = names["view"]
        view.records = tuple(_records(self.record))
        return njit(nogil=True, _nrt=False, forceinline=True)(view)


@intrinsic
def _array(typingctx: Any, address: Any, shape: Any, dtype: Any) -> Any:  # noqa: ARG001 (numba's form)
    """The C-contiguous array at an address; it owns nothing, so no references are counted."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        made = make_array(signature.return_type)(context, builder)
        lengths = cgutils.unpack_tuple(builder, args[1])
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(item)))
        strides = [itemsize]
        for length in reversed(lengths[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        data = builder.inttoptr(args[0], made.data.type)
        populate_array(made, data=data, shape=lengths, strides=strides, itemsize=itemsize, meminfo=None)
        return made._getvalue()  # noqa: SLF001 (numba's form)

    item = dtype.dtype
    return types.Array(item, len(shape), "C")(address, shape, dtype), codegen


def _fields(record: type, path: tuple[str, ...]) -> Iterator[Field]:
    for name, kind in get_type_hints(record, include_extras=True).items():
        if hasattr(kind, "_fields"):
            yield from _fields(kind, (*path, name))
        else:
            sizes, dtype = kind.__metadata__
            yield Field((*path, name), tuple(size for size in sizes.split() if size != ENV), np.dtype(dtype))


def _records(record: type) -> Iterator[type]:
    """A record's class and those of the records in it."""
    yield record
    for kind in get_type_hints(record, include_extras=True).values():
        if hasattr(kind, "_fields"):
            yield from _records(kind)


def _width(dtype: np.dtype) -> int:
    return min(dtype.itemsize, 8) if not dtype.names else 8


def _build(record: type[Record], arrays: Iterator[np.ndarray]) -> Record:
    """The record, its arrays taken in their order."""
    kinds = get_type_hints(record, include_extras=True).values()
    return record(*(_build(kind, arrays) if hasattr(kind, "_fields") else next(arrays) for kind in kinds))


def _construction(record: type, numbers: Iterator[int], names: dict[str, Any]) -> str:
    """The text that builds the record out of a0, a1, ..."""
    name = f"{record.__name__}_"
    names[name] = record
    kinds = get_type_hints(record, include_extras=True).values()
    parts = [_construction(kind, numbers, names) if hasattr(kind, "_fields") else f"a{next(numbers)}" for kind in kinds]
    return f"{name}({', '.join(parts)})"
