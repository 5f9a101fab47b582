"""What the grid is: substations and the elements connected to them, as arrays.

Signs: generation is positive into the bus; load, storage charging and shunt consumption are positive out of it;
the flow of a line is positive when it enters the line at that end. Units: MW, MVAr, kV, A, degree, MWh; a ramp is MW
per step. Lines are powerlines followed by transformers, the high-voltage side of a transformer is its origin. Bus
`local` (1, 2, ...) of substation `s` has the global number ``s + (local - 1) * n_sub``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

IntArray = np.ndarray
FloatArray = np.ndarray
BoolArray = np.ndarray

RENEWABLE_TYPES = ("wind", "solar")
GENERATOR_TYPES = ("thermal", "nuclear", "hydro", *RENEWABLE_TYPES)


@dataclass(frozen=True, eq=False)
class Grid:
    """A transmission grid: frozen arrays, one entry per element; derived values are properties.

    The branch model is the usual pi circuit behind an ideal transformer of complex ratio ``line_ratio *
    exp(1j * line_shift)`` at the origin, in per unit of ``sn_mva`` and of the nominal voltages of its two substations.
    """

    name: str
    sn_mva: float
    n_busbar: int
    """Busbars per substation, the same everywhere (2 in Grid2Op's default)."""

    name_sub: tuple[str, ...]
    sub_vn_kv: FloatArray
    sub_xy: FloatArray
    """(n_sub, 2) drawing coordinates, any unit."""

    name_line: tuple[str, ...]
    line_or_to_subid: IntArray
    line_ex_to_subid: IntArray
    line_is_trafo: BoolArray
    line_r_pu: FloatArray
    line_x_pu: FloatArray
    line_y_or_pu: np.ndarray
    """(n_line,) complex shunt admittance at the origin end, behind the ideal transformer."""
    line_y_ex_pu: np.ndarray
    line_ratio: FloatArray
    line_shift_deg: FloatArray
    thermal_limit: FloatArray
    """(n_line,) A, compared with the current at the origin end (Grid2Op's rule)."""

    name_gen: tuple[str, ...]
    gen_to_subid: IntArray
    gen_type: tuple[str, ...]
    gen_pmin: FloatArray
    gen_pmax: FloatArray
    gen_max_ramp_up: FloatArray
    gen_max_ramp_down: FloatArray
    gen_min_uptime: IntArray
    gen_min_downtime: IntArray
    gen_cost_per_mw: FloatArray
    gen_startup_cost: FloatArray
    gen_shutdown_cost: FloatArray
    gen_slack: BoolArray
    """(n_gen,) True for the one generator that balances the power flow."""
    gen_regulates_voltage: BoolArray
    """(n_gen,) False for a static generator, which injects ``gen_q_mvar`` instead of holding a voltage."""
    gen_p_mw: FloatArray
    gen_q_mvar: FloatArray
    gen_v_kv: FloatArray
    """Operating point of the file the grid was read from: a default where no time series says otherwise."""

    name_load: tuple[str, ...]
    load_to_subid: IntArray
    load_p_mw: FloatArray
    load_q_mvar: FloatArray

    name_storage: tuple[str, ...]
    storage_to_subid: IntArray
    storage_type: tuple[str, ...]
    storage_emax: FloatArray
    storage_emin: FloatArray
    storage_max_p_prod: FloatArray
    storage_max_p_absorb: FloatArray
    storage_marginal_cost: FloatArray
    storage_loss: FloatArray
    """(n_storage,) MW of self-discharge."""
    storage_charging_efficiency: FloatArray
    storage_discharging_efficiency: FloatArray

    name_shunt: tuple[str, ...]
    shunt_to_subid: IntArray
    shunt_p_mw: FloatArray
    shunt_q_mvar: FloatArray
    """(n_shunt,) consumption at nominal voltage (a constant impedance)."""

    initial_topo_vect: IntArray | None = None
    """(dim_topo,) busbar of each element at the start, -1 out of service; None puts everything on busbar 1."""
    gen_q_range_mvar: FloatArray | None = None
    """(n_gen,) maximum minus minimum reactive power: the key by which generators on one bus share it; None, evenly."""
    source: str = field(default="", repr=False)
    """The pandapower network this grid was read from, as JSON: the reference solver models it by itself."""

    # ------------------------------------------------------------------ counts
    @property
    def n_sub(self) -> int:
        return len(self.name_sub)

    @property
    def n_line(self) -> int:
        return len(self.name_line)

    @property
    def n_gen(self) -> int:
        return len(self.name_gen)

    @property
    def n_load(self) -> int:
        return len(self.name_load)

    @property
    def n_storage(self) -> int:
        return len(self.name_storage)

    @property
    def n_shunt(self) -> int:
        return len(self.name_shunt)

    @property
    def n_bus(self) -> int:
        return self.n_sub * self.n_busbar

    @property
    def dim_topo(self) -> int:
        return 2 * self.n_line + self.n_gen + self.n_load + self.n_storage

    # ------------------------------------------------------------------ generators
    @cached_property
    def gen_renewable(self) -> BoolArray:
        return np.array([kind in RENEWABLE_TYPES for kind in self.gen_type], dtype=bool)

    @cached_property
    def gen_redispatchable(self) -> BoolArray:
        return ~self.gen_renewable

    @cached_property
    def slack_gen(self) -> int:
        """Index of the slack generator."""
        return int(np.flatnonzero(self.gen_slack)[0])

    # ------------------------------------------------------------------ topology vector
    @cached_property
    def topology_layout(self) -> TopologyLayout:
        return TopologyLayout.of(self)

    @property
    def line_or_pos_topo_vect(self) -> IntArray:
        return self.topology_layout.line_or

    @property
    def line_ex_pos_topo_vect(self) -> IntArray:
        return self.topology_layout.line_ex

    @property
    def gen_pos_topo_vect(self) -> IntArray:
        return self.topology_layout.gen

    @property
    def load_pos_topo_vect(self) -> IntArray:
        return self.topology_layout.load

    @property
    def storage_pos_topo_vect(self) -> IntArray:
        return self.topology_layout.storage

    @cached_property
    def sub_info(self) -> IntArray:
        """(n_sub,) number of elements with a place in the topology vector."""
        return np.bincount(self.topology_layout.sub, minlength=self.n_sub).astype(np.int32)

    @cached_property
    def sub_start(self) -> IntArray:
        """(n_sub + 1,) the elements of substation s are ``topo_vect[sub_start[s]:sub_start[s + 1]]``."""
        return np.concatenate([[0], np.cumsum(self.sub_info)]).astype(np.int32)

    @cached_property
    def start_topo_vect(self) -> IntArray:
        """(dim_topo,) busbars at the start of an episode."""
        if self.initial_topo_vect is None:
            return np.ones(self.dim_topo, dtype=np.int32)
        return self.initial_topo_vect.astype(np.int32)


@dataclass(frozen=True, eq=False)
class TopologyLayout:
    """Where each element stands in the topology vector, and what stands at each place.

    Grid2Op's order: substation by substation, and inside one powerlines (by line, origin before extremity), then
    transformers likewise, generators, loads, storages.
    """

    line_or: IntArray
    line_ex: IntArray
    gen: IntArray
    load: IntArray
    storage: IntArray
    sub: IntArray
    """(dim_topo,) substation of each place."""
    line: IntArray
    """(dim_topo,) line whose end stands there, -1 for any other element."""

    @classmethod
    def of(cls, grid: Grid) -> TopologyLayout:
        ends = np.stack([grid.line_or_to_subid, grid.line_ex_to_subid], axis=1).reshape(-1)
        sub = np.concatenate([ends, grid.gen_to_subid, grid.load_to_subid, grid.storage_to_subid]).astype(np.int32)
        order = np.argsort(sub, kind="stable")
        position = np.empty(len(sub), dtype=np.int32)
        position[order] = np.arange(len(sub), dtype=np.int32)
        bounds = np.cumsum([len(ends), grid.n_gen, grid.n_load])
        ends_at, gen, load, storage = np.split(position, bounds)
        line = np.full(len(sub), -1, dtype=np.int32)
        line[ends_at] = np.repeat(np.arange(grid.n_line, dtype=np.int32), 2)
        return cls(
            line_or=np.ascontiguousarray(ends_at[0::2]),
            line_ex=np.ascontiguousarray(ends_at[1::2]),
            gen=gen,
            load=load,
            storage=storage,
            sub=sub[order],
            line=line,
        )
