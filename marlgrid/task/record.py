"""Values of an observation's attributes: read by name, as a vector, as JSON, compared, as matrices and graphs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from marlgrid.model.grid import Grid
from marlgrid.model.system import System
from marlgrid.simulation.state import Outcome
from marlgrid.task import element_state
from marlgrid.task import observation_graphs as graphs
from marlgrid.task.attributes import ATTRIBUTES, VECTOR, shape
from marlgrid.task.elements_graph import elements_graph

TOLERANCE = 1e-3
"""Numbers closer than this are the same to ``==`` and ``where_different`` (as in Grid2Op)."""


class Named:
    """Read-only attributes; what is not among the values is derived from them where it can be."""

    system: System
    names: tuple[str, ...] = tuple(ATTRIBUTES)
    """The attributes there are: not everything is told to everybody."""

    def __init__(self, system: System, values: Mapping[str, Any], names: tuple[str, ...] = tuple(ATTRIBUTES)) -> None:
        self.system, self.names = system, names
        self._values = dict(values)

    def __getattr__(self, name: str) -> Any:
        if name not in self.names:
            close = difflib.get_close_matches(name, self.names, n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else "; dir() lists the attributes"
            raise AttributeError(f"an observation has no attribute {name!r}{hint}")
        value = self._value(name)
        if isinstance(value, np.ndarray):
            value = value.view()
            value.flags.writeable = False
        return value

    def _value(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        derived = ATTRIBUTES[name].derived
        if derived is None:
            known = ", ".join(sorted(self._values)) or "nothing"
            raise AttributeError(f"{name} is not known here, only {known}: it takes a power flow, see simulate()")
        return derived(self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.names})

    @property
    def grid(self) -> Grid:
        return self.system.grid

    def to_dict(self) -> dict[str, Any]:
        """Every attribute by name."""
        return {name: getattr(self, name) for name in self.names}


class Record(Named):
    """The attributes of one moment, complete or (after ``add_act``) the topology alone."""

    __hash__ = None  # type: ignore[assignment]

    @property
    def over(self) -> bool:
        """True after a game over (not after a reached time limit)."""
        return bool(self.outcome > Outcome.TIME_LIMIT)

    @property
    def time_stamp(self) -> datetime:
        """Date and time."""
        return datetime(self.year, self.month, self.day, self.hour_of_day, self.minute_of_hour)

    def get_time_stamp(self) -> datetime:
        """Grid2Op's name of ``time_stamp``."""
        return self.time_stamp

    def sub_topology(self, sub_id: int | str) -> np.ndarray:
        """(n_element,) busbars of the elements of a substation, by number or name."""
        names = self.grid.name_sub
        sub = names.index(sub_id) if isinstance(sub_id, str) and sub_id in names else sub_id
        if isinstance(sub, str) or not 0 <= sub < self.grid.n_sub:
            raise ValueError(f"there is no substation {sub_id!r}; give a number below {self.grid.n_sub} or a name")
        topology: np.ndarray = self.topo_vect[self.grid.sub_start[sub] : self.grid.sub_start[sub + 1]]
        return topology

    def state_of(
        self,
        *,
        load_id: int | None = None,
        gen_id: int | None = None,
        line_id: int | None = None,
        storage_id: int | None = None,
        substation_id: int | None = None,
    ) -> dict[str, Any]:
        """All about one element, see ``element_state``. Raises ValueError unless exactly one existing one is given."""
        return element_state.state_of(
            self,
            load_id=load_id,
            gen_id=gen_id,
            line_id=line_id,
            storage_id=storage_id,
            substation_id=substation_id,
        )

    def copy(self) -> Record:
        """Itself: nothing in it can change."""
        return self

    # ------------------------------------------------------------------ vector and JSON
    @property
    def _in_vector(self) -> list[str]:
        return [name for name in VECTOR if name in self.names]

    def to_vect(self) -> np.ndarray:
        """(size,) float32: the attributes of the vector end to end, in the order of ``attributes.VECTOR``."""
        return np.concatenate([np.atleast_1d(getattr(self, name)).astype(np.float32) for name in self._in_vector])

    def from_vect(self, vect: np.ndarray) -> Record:
        """The observation of the same system that ``to_vect`` made ``vect`` of. Raises ValueError for any other."""
        vect = np.asarray(vect)
        shapes = {name: shape(self.system, name) for name in self._in_vector}
        size = sum(int(np.prod(s)) for s in shapes.values())
        if vect.shape != (size,):
            raise ValueError(
                f"a vector of shape {vect.shape} was given; an observation of this grid has shape {(size,)}"
            )
        if not np.isfinite(vect).all():
            raise ValueError(f"entry {int(np.flatnonzero(~np.isfinite(vect))[0])} of the vector is not a finite number")
        values, start = {}, 0
        for name, wanted in shapes.items():
            stop = start + int(np.prod(wanted))
            values[name] = _typed(name, vect[start:stop].reshape(wanted))
            start = stop
        return Record(self.system, values, self.names)

    def to_json(self) -> dict[str, list]:
        """Attribute -> list of its values, ready for ``json.dumps``; nothing is rounded."""
        return {name: np.atleast_1d(getattr(self, name)).tolist() for name in self._in_vector}

    def from_json(self, values: Mapping[str, Any]) -> Record:
        """The observation of the same system that ``to_json`` made ``values`` of. Raises ValueError for any other."""
        missing, unknown = sorted(set(self._in_vector) - set(values)), sorted(set(values) - set(self._in_vector))
        if missing or unknown:
            raise ValueError(f"this is not what to_json gives: missing {missing}, unknown {unknown}")
        found = {}
        for name in self._in_vector:
            array, wanted = np.asarray(values[name]), shape(self.system, name)
            if array.size != int(np.prod(wanted)):
                raise ValueError(f"{name}: {array.size} values were given, this grid has {int(np.prod(wanted))}")
            found[name] = _typed(name, array.reshape(wanted))
        return Record(self.system, found, self.names)

    # ------------------------------------------------------------------ comparison
    def __sub__(self, other: Record) -> Named:
        """This minus the other, attribute by attribute; of truth values, whether they differ."""
        self._comparable(other)
        found = {name: _difference(getattr(self, name), getattr(other, name)) for name in self.names}
        return Named(self.system, found, self.names)

    def where_different(self, other: Record, tolerance: float = TOLERANCE) -> tuple[Named, list[str]]:
        """``self - other``, and the names of the attributes that differ by more than ``tolerance``."""
        difference = self - other
        return difference, [name for name in self._in_vector if np.any(np.abs(getattr(difference, name)) > tolerance)]

    def __eq__(self, other: object) -> bool:
        """Same grid and, within ``TOLERANCE``, same values."""
        if not isinstance(other, Record):
            return NotImplemented
        return self._alike(other) and not self.where_different(other)[1]

    def _comparable(self, other: Record) -> None:
        if not isinstance(other, Record):
            raise TypeError(f"an observation is compared with an observation, not with {type(other).__name__}")
        if not self._alike(other):
            raise ValueError(f"observations of different grids or zones: {self.grid.name!r} and {other.grid.name!r}")

    def _alike(self, other: Record) -> bool:
        return self.names == other.names and _same_grid(self.grid, other.grid)

    # ------------------------------------------------------------------ graphs
    def connectivity_matrix(self, as_csr_matrix: bool = False) -> Any:
        """(dim_topo, dim_topo) float32, see ``observation_graphs.connectivity_matrix``."""
        return graphs.connectivity_matrix(self, as_csr_matrix)

    def bus_connectivity_matrix(self, as_csr_matrix: bool = False, return_lines_index: bool = False) -> Any:
        """(n_bus_in_use, n_bus_in_use) float32, see ``observation_graphs.bus_connectivity_matrix``."""
        return graphs.bus_connectivity_matrix(self, as_csr_matrix, return_lines_index)

    def flow_bus_matrix(self, active_flow: bool = True, as_csr_matrix: bool = False) -> tuple[Any, graphs.BusOf]:
        """(n_bus_in_use, n_bus_in_use) MW or MVAr and rows by element, see ``observation_graphs.flow_bus_matrix``."""
        return graphs.flow_bus_matrix(self, active_flow, as_csr_matrix)

    def check_kirchhoff(self) -> graphs.Kirchhoff:
        """What is left over at each substation and bus, see ``observation_graphs.kirchhoff``."""
        return graphs.kirchhoff(self)

    def as_networkx(self) -> Any:
        """Frozen ``networkx.Graph`` of buses and what flows between them, see ``observation_graphs.energy_graph``."""
        return graphs.energy_graph(self)

    get_energy_graph = as_networkx

    def get_elements_graph(self) -> Any:
        """Frozen ``networkx.DiGraph`` of all elements, see ``elements_graph.elements_graph``."""
        return elements_graph(self)


def _typed(name: str, value: np.ndarray) -> Any:
    """As the attribute's type: a plain number where it is one."""
    dtype = ATTRIBUTES[name].dtype
    if value.ndim == 0:
        return dtype(value)
    return value.astype(np.int32 if dtype is int else dtype)


def _difference(mine: Any, other: Any) -> Any:
    if isinstance(mine, np.ndarray) and mine.dtype == bool:
        return mine != other
    return mine - other


def _same_grid(one: Grid, other: Grid) -> bool:
    names = ("name_sub", "name_line", "name_gen", "name_load", "name_storage", "name_shunt", "n_busbar")
    return one is other or all(getattr(one, name) == getattr(other, name) for name in names)
