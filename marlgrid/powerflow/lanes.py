"""Numbers of several rows side by side: one processor instruction works on all of them.

A kernel written with the functions below works on single floats or on eight at a time: its first argument is
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
    vector = ir.Constant(ir.VectorType(value.type, WIDTH), ir.Undefined)
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


def _addresses(context, builder, sig, args):
    """Of the numbers of all lanes, wherever they stand."""
    array, begin = (make_array(sig.args[i])(context, builder, args[i]) for i in (1, 2))
    data = builder.bitcast(array.data, ir.DoubleType().as_pointer())
    field, index = (context.cast(builder, args[i], sig.args[i], types.int64) for i in (3, 4))
    lanes = 1 if sig.args[0] == types.float64 else WIDTH
    first = builder.mul(field, ir.Constant(ir.IntType(64), lanes))
    for lane in range(lanes):
        place = builder.add(first, ir.Constant(ir.IntType(64), lane))
        start = builder.load(cgutils.gep(builder, begin.data, place))
        yield lane, cgutils.gep(builder, data, builder.add(start, index))


@intrinsic
def collect(typingctx, kind, array, begin, field, index):
    """The numbers ``index`` of a field of all lanes, the field of lane ``l`` beginning at ``begin[field * width + l]``.

    The array is one of float64 or complex128, and taken for a flat one of float64; places are not checked.
    """

    def lower(context, builder, sig, args):
        value = ir.Constant(VECTOR, ir.Undefined)
        for lane, address in _addresses(context, builder, sig, args):
            number = builder.load(address, align=8)
            if sig.args[0] == types.float64:
                return number
            value = builder.insert_element(value, number, ir.Constant(ir.IntType(32), lane))
        return value

    return kind(kind, array, begin, field, index), lower


@intrinsic
def spread(typingctx, kind, array, begin, field, index, value):
    """Writes the numbers of all lanes to where ``collect`` would find them."""

    def lower(context, builder, sig, args):
        for lane, address in _addresses(context, builder, sig, args):
            number = args[5]
            if sig.args[0] != types.float64:
                number = builder.extract_element(number, ir.Constant(ir.IntType(32), lane))
            builder.store(number, address, align=8)
        return context.get_dummy_value()

    return types.none(kind, array, begin, field, index, kind), lower


def _transposed(builder, vectors):
    """Of as many vectors as each has numbers: number ``k`` of all of them as vector ``k``."""
    distance = 1
    while distance < WIDTH:
        turned = list(vectors)
        for i in range(WIDTH):
            if i & distance == 0:
                # in blocks of ``distance`` numbers, the off-diagonal quarters change places
                low = [k if k & distance == 0 else WIDTH + k - distance for k in range(WIDTH)]
                high = [k + distance if k & distance == 0 else WIDTH + k for k in range(WIDTH)]
                pair = vectors[i], vectors[i + distance]
                for at, mask in ((i, low), (i + distance, high)):
                    places = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), mask)
                    turned[at] = builder.shuffle_vector(*pair, places)
        vectors, distance = turned, 2 * distance
    return vectors


@intrinsic
def spread_eight(typingctx, kind, source, at, array, begin, field, index, count):
    """Writes ``count`` numbers of a field, up to eight, in all lanes: as ``spread`` from ``index`` on, far quicker.

    Those of number ``index + k`` stand in ``source`` (float64) from ``at + k * width`` on, and eight can be read there.
    """

    def lower(context, builder, sig, args):
        lanes = 1 if sig.args[0] == types.float64 else WIDTH
        taken, vectors = types.none(*sig.args[:3]), []
        for k in range(lanes):
            place = builder.add(args[2], ir.Constant(ir.IntType(64), k * WIDTH))
            address = _address(context, builder, taken, (args[0], args[1], place))
            vectors.append(builder.load(builder.bitcast(address, VECTOR.as_pointer()), align=8))
        turned = vectors if lanes == 1 else _transposed(builder, vectors)
        last = builder.sub(args[7], ir.Constant(ir.IntType(64), 1))
        number = ir.Constant(ir.VectorType(ir.IntType(64), WIDTH), list(range(WIDTH)))
        wanted = builder.icmp_signed("<=", number, _splat(builder, last))
        kind = ir.FunctionType(
            ir.VoidType(), [VECTOR, VECTOR.as_pointer(), ir.IntType(32), ir.VectorType(ir.IntType(1), WIDTH)]
        )
        store = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{WIDTH}f64.p0")
        goal = types.none(sig.args[0], *sig.args[3:7])
        for lane, address in _addresses(context, builder, goal, (args[0], *args[3:7])):
            place = builder.bitcast(address, VECTOR.as_pointer())
            builder.call(store, [turned[lane], place, ir.Constant(ir.IntType(32), 8), wanted])
        return context.get_dummy_value()

    return types.none(kind, source, types.int64, array, begin, field, index, types.int64), lower


@intrinsic
def root(typingctx, value):
    """Square root."""

    def lower(context, builder, sig, args):
        kind = args[0].type
        name = "llvm.sqrt.f64" if sig.args[0] == types.float64 else f"llvm.sqrt.v{WIDTH}f64"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
        return builder.call(function, args)

    return value(value), lower


@intrinsic
def choose(typingctx, low, high, inside, outside):
    """``inside`` where ``low <= high``, else ``outside``."""

    def lower(context, builder, sig, args):
        return builder.select(builder.fcmp_ordered("<=", args[0], args[1]), args[2], args[3])

    return low(low, high, inside, outside), lower


@intrinsic
def farther(typingctx, value, other):
    """The larger of a number and the size of another."""

    def lower(context, builder, sig, args):
        value, other = args
        zero = ir.Constant(other.type, None) if sig.args[1] != types.float64 else ir.Constant(other.type, 0.0)
        size = builder.select(builder.fcmp_ordered("<", other, zero), builder.fneg(other), other)
        return builder.select(builder.fcmp_ordered(">", size, value), size, value)

    return value(value, other), lower
