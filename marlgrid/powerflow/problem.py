"""A batch of power flows in one block of memory: what is asked, and what was found.

A kernel is handed the block and a table of places, whether the block holds a power flow alone or a whole state.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from marlgrid.blocks import Layout, array_at
from marlgrid.compiled import rule
from marlgrid.model.grid import Grid
from marlgrid.powerflow.base import Flow, PowerFlowInput

FIELDS = tuple(name for name in Flow._fields if name not in ("converged", "voltage"))
"""What a flow has besides: float64 numbers of elements."""
N_FIELD = len(FIELDS)
CONVERGED, VOLTAGE, TOPO_VECT, SHUNT_BUS = range(N_FIELD, N_FIELD + 4)
GIVEN_GEN_P, GIVEN_GEN_V, GIVEN_LOAD_P, GIVEN_LOAD_Q, GIVEN_STORAGE_P, N_PLACE = range(N_FIELD + 4, N_FIELD + 10)
"""Places after those of ``FIELDS``."""


class Problem(NamedTuple):
    """What is asked, and what was found."""

    inputs: PowerFlowInput
    flow: Flow


PROBLEM = Layout(Problem)
_PLACES: dict[bytes, np.ndarray] = {}
"""``Unsolved.places`` by the sizes of a block."""


class Unsolved(NamedTuple):
    """A problem in a block of its own."""

    problem: Problem
    memory: np.ndarray
    """The block as float64 numbers."""
    places: np.ndarray
    """See ``places_of``."""


def unsolved(grid: Grid, n_env: int) -> Unsolved:
    """A problem of zeros."""
    block, problem = PROBLEM.new(
        env=n_env, place=grid.dim_topo, line=grid.n_line, gen=grid.n_gen, load=grid.n_load, storage=grid.n_storage,
        shunt=grid.n_shunt, bus=grid.n_bus,
    )  # fmt: skip
    sizes = block[: PROBLEM.head].tobytes()
    if sizes not in _PLACES:
        _PLACES[sizes] = places_of(block, *problem)
    return Unsolved(problem, block.view(np.float64), _PLACES[sizes])


def places_of(block: np.ndarray, inputs: PowerFlowInput, flow: Flow) -> np.ndarray:
    """(N_PLACE, 2) int64: where in its block each array begins, and its columns.

    Those of ``FIELDS`` are counted in numbers, so that row ``e`` begins at ``places[f, 0] + e * places[f, 1]`` of the
    block's float64 numbers; the others begin at so many bytes.
    """
    found, base = flow._asdict(), block.ctypes.data
    numbers = [((found[name].ctypes.data - base) // 8, found[name].shape[1]) for name in FIELDS]
    arrays = flow.converged, flow.voltage, *inputs
    others = [(array.ctypes.data - base, math.prod(array.shape[1:])) for array in arrays]
    return np.array(numbers + others, dtype=np.int64)


@rule
def asked_of(memory, places, n_env) -> tuple:  # pragma: no cover
    """What is asked: ``topo_vect``, ``shunt_bus``, and a tuple of the injections."""
    at = memory.ctypes.data
    injections = (
        array_at(at + places[GIVEN_GEN_P, 0], (n_env, places[GIVEN_GEN_P, 1]), np.float64),
        array_at(at + places[GIVEN_GEN_V, 0], (n_env, places[GIVEN_GEN_V, 1]), np.float64),
        array_at(at + places[GIVEN_LOAD_P, 0], (n_env, places[GIVEN_LOAD_P, 1]), np.float64),
        array_at(at + places[GIVEN_LOAD_Q, 0], (n_env, places[GIVEN_LOAD_Q, 1]), np.float64),
        array_at(at + places[GIVEN_STORAGE_P, 0], (n_env, places[GIVEN_STORAGE_P, 1]), np.float64),
    )
    topo_vect = array_at(at + places[TOPO_VECT, 0], (n_env, places[TOPO_VECT, 1]), np.int32)
    shunt_bus = array_at(at + places[SHUNT_BUS, 0], (n_env, places[SHUNT_BUS, 1]), np.int32)
    return topo_vect, shunt_bus, injections


@rule
def found_of(memory, places, n_env) -> tuple[np.ndarray, np.ndarray]:  # pragma: no cover
    """Where ``converged`` and ``voltage`` are written."""
    at = memory.ctypes.data
    return (
        array_at(at + places[CONVERGED, 0], (n_env,), np.bool_),
        array_at(at + places[VOLTAGE, 0], (n_env, places[VOLTAGE, 1]), np.complex128),
    )
