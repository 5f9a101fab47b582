"""What a power flow takes and gives: busbars and injections in, voltages and flows out, for a batch of environments."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Protocol

import numpy as np


class PowerFlowInput(NamedTuple):
    """Everything the physics needs, (n_env, n_element) each, float64 unless said otherwise."""

    topo_vect: Annotated[np.ndarray, "place", "i4"]
    """(n_env, dim_topo) int32 busbar of each element, -1 when disconnected; a line has both ends on one, or neither."""
    shunt_bus: Annotated[np.ndarray, "shunt", "i4"]
    """(n_env, n_shunt) int32."""
    gen_p: Annotated[np.ndarray, "gen", "f8"]
    """MW; the slack generator's is a wish, losses are added to it."""
    gen_v: Annotated[np.ndarray, "gen", "f8"]
    """kV."""
    load_p: Annotated[np.ndarray, "load", "f8"]
    load_q: Annotated[np.ndarray, "load", "f8"]
    storage_p: Annotated[np.ndarray, "storage", "f8"]
    """MW taken from the grid (charging is positive); storages have no reactive power."""


class Flow(NamedTuple):
    """The solved state, float64; zeros for what is disconnected, and for a whole row that did not converge."""

    converged: Annotated[np.ndarray, "env", "?"]
    """(n_env,) bool."""
    p_or: Annotated[np.ndarray, "line", "f8"]
    q_or: Annotated[np.ndarray, "line", "f8"]
    v_or: Annotated[np.ndarray, "line", "f8"]
    a_or: Annotated[np.ndarray, "line", "f8"]
    theta_or: Annotated[np.ndarray, "line", "f8"]
    p_ex: Annotated[np.ndarray, "line", "f8"]
    q_ex: Annotated[np.ndarray, "line", "f8"]
    v_ex: Annotated[np.ndarray, "line", "f8"]
    a_ex: Annotated[np.ndarray, "line", "f8"]
    theta_ex: Annotated[np.ndarray, "line", "f8"]
    """(n_env, n_line): MW, MVAr, kV, A, degree at each end."""
    gen_p: Annotated[np.ndarray, "gen", "f8"]
    gen_q: Annotated[np.ndarray, "gen", "f8"]
    gen_v: Annotated[np.ndarray, "gen", "f8"]
    gen_theta: Annotated[np.ndarray, "gen", "f8"]
    load_p: Annotated[np.ndarray, "load", "f8"]
    load_q: Annotated[np.ndarray, "load", "f8"]
    load_v: Annotated[np.ndarray, "load", "f8"]
    load_theta: Annotated[np.ndarray, "load", "f8"]
    storage_p: Annotated[np.ndarray, "storage", "f8"]
    storage_v: Annotated[np.ndarray, "storage", "f8"]
    storage_theta: Annotated[np.ndarray, "storage", "f8"]
    shunt_p: Annotated[np.ndarray, "shunt", "f8"]
    shunt_q: Annotated[np.ndarray, "shunt", "f8"]
    shunt_v: Annotated[np.ndarray, "shunt", "f8"]
    voltage: Annotated[np.ndarray, "bus", "c16"]
    """(n_env, n_bus) complex per unit by global bus number, 0 on a dead bus: the warm start of the next solve."""


class PowerFlow(Protocol):
    """A solver made for one grid. It may keep caches; results depend on the arguments alone (to 1e-9)."""

    def solve(self, inputs: PowerFlowInput, start: np.ndarray, rows: np.ndarray) -> Flow:
        """Solves the rows (n_env,) bool that are asked for; the others come back as not converged.

        ``start`` is a previous ``Flow.voltage``: zeros mean a cold start (as does a warm start that fails). A row
        does not converge when Newton diverges, or when a bus that carries any element is not connected to the slack.
        """


def zero_flow(n_env: int, n_line: int, n_gen: int, n_load: int, n_storage: int, n_shunt: int, n_bus: int) -> Flow:
    """A flow of zeros, not converged."""
    sizes = dict.fromkeys(Flow._fields, n_line)
    sizes |= {name: n_gen for name in Flow._fields if name.startswith("gen_")}
    sizes |= {name: n_load for name in Flow._fields if name.startswith("load_")}
    sizes |= {name: n_storage for name in Flow._fields if name.startswith("storage_")}
    sizes |= {name: n_shunt for name in Flow._fields if name.startswith("shunt_")}
    arrays: dict[str, np.ndarray] = {name: np.zeros((n_env, size)) for name, size in sizes.items()}
    arrays["converged"] = np.zeros(n_env, dtype=bool)
    arrays["voltage"] = np.zeros((n_env, n_bus), dtype=complex)
    return Flow(**arrays)


def plain_input(inputs: PowerFlowInput) -> PowerFlowInput:
    """The same numbers as contiguous int32 and float64 arrays, which is what compiled kernels take."""
    places = (np.ascontiguousarray(array, dtype=np.int32) for array in inputs[:2])
    return PowerFlowInput(*places, *(np.ascontiguousarray(array, dtype=np.float64) for array in inputs[2:]))
