"""Records of arrays in one block."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from marlgrid.blocks import Layout

PAIR = np.dtype([("a", "i4"), ("b", "f8"), ("c", "?")])


class Inner(NamedTuple):
    on: Annotated[np.ndarray, "line", "?"]
    flow: Annotated[np.ndarray, "line", "f8"]


class Outer(NamedTuple):
    t: Annotated[np.ndarray, "env", "i4"]
    inner: Inner
    voltage: Annotated[np.ndarray, "bus", "c16"]
    count: Annotated[np.ndarray, "bus", "i4"]
    linked: Annotated[np.ndarray, "bus line", "?"]


class Static(NamedTuple):
    pair: Annotated[np.ndarray, "line", PAIR]
    one: Annotated[np.ndarray, "one", "f8"]


OUTER, STATIC = Layout(Outer), Layout(Static, batched=False)
view_outer, view_static = OUTER.view, STATIC.view


@njit
def _write(static, block):
    table, record = view_static(static), view_outer(block)
    for e in range(len(record.t)):
        record.t[e] = e + 1
        for l in range(len(table.pair)):
            record.inner.flow[e, l] = 10 * e + table.pair[l].b
            record.inner.on[e, l] = table.pair[l].c
        for b in range(record.voltage.shape[1]):
            record.voltage[e, b] = complex(e, b)
            record.count[e, b] = -b
            for l in range(len(table.pair)):
                record.linked[e, b, l] = (e + b + l) % 2


@given(env=st.integers(1, 5), line=st.integers(0, 4), bus=st.integers(0, 3))
def test_compiled_code_sees_what_python_sees(env, line, bus):
    static, table = STATIC.new(line=line, one=1)
    table.pair["b"], table.pair["c"] = np.arange(line), np.arange(line) % 2
    block, record = OUTER.new(env=env, line=line, bus=bus)
    _write(static, block)
    e, l, b = np.arange(env), np.arange(line), np.arange(bus)
    assert np.array_equal(record.t, e + 1)
    assert np.array_equal(record.inner.flow, 10 * e[:, None] + l)
    assert np.array_equal(record.inner.on, np.tile(l % 2 == 1, (env, 1)))
    assert np.array_equal(record.voltage, e[:, None] + 1j * b)
    assert np.array_equal(record.count, np.tile(-b, (env, 1)))
    assert np.array_equal(record.linked, (e[:, None, None] + b[:, None] + l) % 2 == 1)
    assert all(array.flags.c_contiguous and array.flags.aligned for array in (record.t, *record.inner, *record[2:]))


def test_a_missing_size_is_named():
    with pytest.raises(ValueError, match="bus"):
        OUTER.new(env=1, line=2)
