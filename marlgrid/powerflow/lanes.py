"""Numbers of several rows side by side: one processor instruction works on all of them.

A kernel written with ``get``, ``put`` and ``like`` works on single floats or on eight at a time: its first argument is
0.0, or ``eight(0.0)``, and decides which. Compilers do not find these instructions by themselves, since they cannot
know that the arrays of a kernel do not overlap. Compiled kernels kept on disk do not notice a change in this file.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel.models import PrimitiveModel
from numba.core.extending import intrinsic, lower_builtin, register_model
from numba.core.typing import signature
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.np.arrayobj import make_array

WIDTH = 8


class Eight(types.Type):
    """Eight float64."""

    def __init__(self) -> None:
        super().__init__(name="Eight")


EIGHT = Eight()
VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)


@register_model(Eight)
class _EightModel(PrimitiveModel):
    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, VECTOR)


def _binary(operation, instruction: str) -> None:
    """Gives an operator its meaning on eights; a product and a sum may be rounded once."""
    infer_global(operation)(type("_OfEights", (ConcreteTemplate,), {"cases": [signature(EIGHT, EIGHT, EIGHT)]}))

    def lower(context, builder, sig, args):
        return getattr(builder, instruction)(*args, flags=["contract", "nsz", "arcp"])

    lower_builtin(operation, EIGHT, EIGHT)(lower)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _binary(_operation, _instruction)
    _binary(getattr(operator, "i" + _operation.__name__), _instruction)


def _splat(builder, value):
    vector = ir.Constant(VECTOR, ir.Undefined)
    for lane in range(WIDTH):
        vector = builder.insert_element(vector, value, ir.Constant(ir.IntType(32), lane))
    return vector


@intrinsic
def eight(typingctx, value):
    """A float in all lanes."""

    def lower(context, builder, sig, args):
        return _splat(builder, args[0])

    return EIGHT(types.float64), lower


@intrinsic
def like(typingctx, kind, value):
    """A float in all lanes that ``kind`` has."""

    def lower(context, builder, sig, args):
        return args[1] if sig.args[0] == types.float64 else _splat(builder, args[1])

    return kind(kind, types.float64), lower


@intrinsic
def width(typingctx, kind):
    """Number of lanes of ``kind``."""
    lanes = WIDTH if isinstance(kind, Eight) else 1

    def lower(context, builder, sig, args):
        return ir.Constant(ir.IntType(64), lanes)

    return types.int64(kind), lower


def _address(context, builder, sig, args):
    """Of the first of the numbers meant."""
    array = make_array(sig.args[1])(context, builder, args[1])
    index = context.cast(builder, args[2], sig.args[2], types.int64)
    address = cgutils.gep(builder, array.data, index)
    return address if sig.args[0] == types.float64 else builder.bitcast(address, VECTOR.as_pointer())


@intrinsic
def get(typingctx, kind, array, index):
    """The numbers of all lanes, from a place of a flat float64 array on; the place is not checked."""

    def lower(context, builder, sig, args):
        return builder.load(_address(context, builder, sig, args), align=8)

    return kind(kind, array, index), lower


@intrinsic
def put(typingctx, kind, array, index, value):
    """Writes the numbers of all lanes."""

    def lower(context, builder, sig, args):
        builder.store(args[3], _address(context, builder, sig, args), align=8)
        return context.get_dummy_value()

    return types.none(kind, array, index, kind), lower


@intrinsic
def farther(typingctx, value, other):
    """The larger of a number and the size of another."""

    def lower(context, builder, sig, args):
        value, other = args
        zero = ir.Constant(other.type, None) if sig.args[1] != types.float64 else ir.Constant(other.type, 0.0)
        size = builder.select(builder.fcmp_ordered("<", other, zero), builder.fneg(other), other)
        return builder.select(builder.fcmp_ordered(">", size, value), size, value)

    return value(value, other), lower
