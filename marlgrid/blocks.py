"""Records of arrays in one block of memory: to compiled code a record is one argument, however many arrays it has.

Handing arrays to a kernel takes 0.13 microseconds each (measured with twenty), and a step works on a hundred. So the
arrays of a record are views of one block, which begins with the sizes that they follow from; a kernel is given the
block and sees the record again through ``Layout.view``, which copies nothing and counts no references.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from marlgrid.compiled import kernel_in_place

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
        self.head = 8 * len(self.sizes)
        """Bytes in which a block keeps its sizes."""
        self._tree = _Tree.of(record, count())
        self._plans: dict[tuple[int, ...], Any] = {}
        self._row_places: dict[bytes, np.ndarray] = {}
        self.view = self._compiled_view()
        """Compiled, for kernels only: the record of a block."""

    def new(self, **sizes: int) -> tuple[np.ndarray, Record]:
        """A block of zeros and its record: ``new(env=2, line=20, ...)``."""
        missing = set(self.sizes) - {ENV} - set(sizes)
        if missing:
            raise ValueError(f"the sizes {sorted(missing)} of {self.record.__name__} are missing")
        length = tuple(int(sizes.get(name, 1)) for name in self.sizes)
        n_byte, places = self._plan(length)
        block = np.zeros(n_byte // 16, dtype=np.complex128).view(np.uint8)
        block[: 8 * len(length)].view(np.int64)[:] = length
        arrays = [np.ndarray(shape, dtype, block, at) for at, shape, dtype in places]
        return block, self._tree.build(arrays)

    def copy_rows(
        self,
        source: np.ndarray,
        rows: np.ndarray,
        target: np.ndarray,
        places: np.ndarray,
        fields: slice = slice(None),
    ) -> None:
        """Copies environments ``rows`` (n,) of one block to ``places`` (n,) of another, of some fields or all."""
        _copy_rows(source, self._rows(source)[fields], rows, target, self._rows(target)[fields], places)

    def _rows(self, block: np.ndarray) -> np.ndarray:
        """(n_field, 2) int64: where each array begins in a block, and the bytes of one environment of it."""
        sizes = block[: self.head].tobytes()
        if sizes not in self._row_places:
            plan = self._plan(tuple(block[: self.head].view(np.int64).tolist()))[1]
            places = [(at, math.prod(shape[1:]) * dtype.itemsize) for at, shape, dtype in plan]
            self._row_places[sizes] = np.array(places, dtype=np.int64)
        return self._row_places[sizes]

    def _plan(self, length: tuple[int, ...]) -> tuple[int, list[tuple[int, tuple[int, ...], np.dtype]]]:
        """Bytes of a block, and where each array begins, its shape and type, by the lengths of the sizes."""
        if length not in self._plans:
            known = dict(zip(self.sizes, length, strict=True))
            places: dict[int, tuple[int, tuple[int, ...], np.dtype]] = {}
            at = self.head
            for i in self._order:
                shape, dtype = self._shape(self.fields[i], known), self.fields[i].dtype
                places[i] = at, shape, dtype
                at += math.prod(shape) * dtype.itemsize
            self._plans[length] = 16 * (at // 16 + 1), [places[i] for i in range(len(self.fields))]
        return self._plans[length]

    def _shape(self, field: Field, length: dict[str, int]) -> tuple[int, ...]:
        own = tuple(length[size] for size in field.sizes)
        return (length[ENV], *own) if self.batched else own

    def _compiled_view(self) -> Any:
        """The function that makes the record of a block; its text follows from the fields."""
        names: dict[str, Any] = {"array": array_at, "int64": np.int64}
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
        made = self._tree.construction(names)
        exec("\n".join([*lines, f" return {made}"]), names)
        view = names["view"]
        view.records = tuple(self._tree.records())
        return njit(nogil=True, _nrt=False, forceinline=True)(view)


@kernel_in_place
def _copy_rows(source, begin, rows, target, end, places):  # pragma: no cover
    for f in range(begin.shape[0]):
        width = begin[f, 1]
        for k in range(len(rows)):
            _copy_bytes(source, begin[f, 0] + rows[k] * width, target, end[f, 0] + places[k] * width, width)


@intrinsic
def _copy_bytes(typingctx: Any, source: Any, read: Any, target: Any, write: Any, n: Any) -> Any:  # noqa: ARG001
    """``n`` bytes of one block from ``read`` on to ``write`` of another."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = [
            cgutils.gep(builder, make_array(signature.args[i])(context, builder, args[i]).data, args[i + 1])
            for i in (2, 0)
        ]
        cgutils.raw_memcpy(builder, *places, args[4], 1)
        return context.get_dummy_value()

    return types.none(source, read, target, write, n), codegen


@intrinsic
def array_at(typingctx: Any, address: Any, shape: Any, dtype: Any) -> Any:  # noqa: ARG001 (numba's form)
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


def _width(dtype: np.dtype) -> int:
    return min(dtype.itemsize, 8) if not dtype.names else 8


class _Tree(NamedTuple):
    """A record's class, and of each of its fields the number of the array or the tree of the record."""

    record: Any
    parts: tuple[Any, ...]

    @classmethod
    def of(cls, record: Any, numbers: Iterator[int]) -> _Tree:
        kinds = get_type_hints(record, include_extras=True).values()
        return cls(record, tuple(cls.of(k, numbers) if hasattr(k, "_fields") else next(numbers) for k in kinds))

    def build(self, arrays: list[np.ndarray]) -> Any:
        """The record of the arrays."""
        return self.record._make([arrays[p] if isinstance(p, int) else p.build(arrays) for p in self.parts])

    def records(self) -> Iterator[Any]:
        """The classes of all records."""
        yield self.record
        for part in self.parts:
            if isinstance(part, _Tree):
                yield from part.records()

    def construction(self, names: dict[str, Any]) -> str:
        """The text that builds the record out of a0, a1, ..."""
        name = f"{self.record.__name__}_"
        names[name] = self.record
        parts = [f"a{p}" if isinstance(p, int) else p.construction(names) for p in self.parts]
        return f"{name}({', '.join(parts)})"
