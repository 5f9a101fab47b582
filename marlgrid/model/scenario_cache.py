"""Scenarios in packed arrays, the most recent ones kept, and one gather of rows for a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from marlgrid.compiled import ask_for, kernel_in_place, rule
from marlgrid.lookup import find, hashed
from marlgrid.model.time_series import Injections, ScenarioArrays

MAX_BYTES = 512 * 2**20
CACHE_LINE = 64
"""Bytes that a processor fetches at once."""


class ScenarioCache:
    """Loads a scenario when one of its rows is first asked for, and keeps as many as fit into ``max_bytes``.

    Rows come out as fresh float64 (int32 for outages) arrays, each contiguous: nothing that a caller holds changes
    when a scenario is dropped. If one batch asks for more scenarios than fit, the cache grows to hold them all.
    """

    def __init__(
        self,
        load: Callable[[int], ScenarioArrays],
        n_load: int,
        n_gen: int,
        n_line: int,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._load = load
        self._n_load, self._n_gen, self._n_line = n_load, n_gen, n_line
        self._max_bytes = max_bytes
        self._clear()

    def _clear(self) -> None:
        self._slot: dict[int, int] = {}
        """Scenario -> where it is kept."""
        self._table = hashed(self._slot)
        """The same, for kernels."""
        self._clock = 0
        self._used = np.zeros(0, dtype=np.int64)
        """By slot, the clock when it was last asked for."""
        self._length = np.zeros(0, dtype=np.int32)
        """By slot, the rows of its scenario, 0 while it is free."""
        self._values = np.zeros((0, 0, 2 * self._n_load + 2 * self._n_gen), dtype=np.float32)
        self._outages = np.zeros((0, 0, 3 * self._n_line), dtype=np.int32)

    def __getstate__(self) -> dict:
        """What another process needs: the scenarios are loaded there again."""
        return {name: self.__dict__[name] for name in ("_load", "_n_load", "_n_gen", "_n_line", "_max_bytes")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._clear()

    def scenario(self, number: int) -> ScenarioArrays:
        """All rows of a scenario, read anew."""
        return self._load(number)

    def rows(self, scenario: np.ndarray, t: np.ndarray) -> Injections:
        """Rows ``t`` (n_env,) of ``scenario`` (n_env,); a row past the end is the last one."""
        n_env = len(scenario)
        sizes = self._n_load, self._n_load, self._n_gen, self._n_gen
        values = (np.empty((n_env, size)) for size in sizes)
        outages = (np.empty((n_env, self._n_line), dtype=np.int32) for _ in range(3))
        out = Injections(*values, *outages)
        self.fill(scenario.astype(np.int64, copy=False), t.astype(np.int32, copy=False), out)
        return out

    def fill(self, scenario: np.ndarray, t: np.ndarray, out: Injections) -> None:
        """The same, written into ``out``; ``scenario`` is int64, ``t`` int32."""
        self._clock += 1
        while not _gather(
            self._table, self._values, self._outages, self._length, self._used, self._clock, scenario, t, *out
        ):
            self._load_missing(dict.fromkeys(scenario.tolist()))

    # ------------------------------------------------------------------ slots
    def _load_missing(self, asked: Iterable[int]) -> None:
        """Has all scenarios of a question at hand."""
        known = [number for number in asked if number in self._slot]
        # all of them first: none of these makes room for another
        for number in known:
            self._used[self._slot[number]] = self._clock
        for number in asked:
            if number not in self._slot:
                self._keep(number, self._load(number))
        self._table = hashed(self._slot)

    def _keep(self, number: int, arrays: ScenarioArrays) -> None:
        """Puts a scenario into a free slot, the least recently used one, or a new one."""
        n_row = len(arrays.values)
        if n_row > self._values.shape[1]:
            self._resize(max(len(self._values), 1), n_row)
        slot = self._free_slot()
        self._values[slot, :n_row] = arrays.values
        self._outages[slot, :n_row] = arrays.outages
        self._length[slot] = n_row
        self._used[slot] = self._clock
        self._slot[number] = slot

    def _free_slot(self) -> int:
        n_kept, n_slot = len(self._slot), len(self._values)
        if n_kept < n_slot:
            return n_kept
        oldest = int(self._used.argmin())
        n_fitting = self._max_bytes // (self._values[0].nbytes + self._outages[0].nbytes)
        # A slot that the batch being served uses must stay, whatever fits.
        if n_slot < n_fitting or self._used[oldest] == self._clock:
            self._resize(max(n_slot + 1, min(2 * n_slot, n_fitting)))
            return n_kept
        forgotten = next(number for number, slot in self._slot.items() if slot == oldest)
        del self._slot[forgotten]
        self._table = hashed(self._slot)  # before the slot is written to: loading may be interrupted
        return oldest

    def _resize(self, n_slot: int, n_row: int | None = None) -> None:
        kept, old_rows = self._values.shape[:2]
        n_row = old_rows if n_row is None else n_row
        for name in ("_values", "_outages"):
            old = getattr(self, name)
            new = np.zeros((n_slot, n_row, old.shape[2]), dtype=old.dtype)
            new[:kept, :old_rows] = old
            setattr(self, name, new)
        self._length = np.append(self._length, np.zeros(n_slot - kept, dtype=np.int32))
        self._used = np.append(self._used, np.zeros(n_slot - kept, dtype=np.int64))


@kernel_in_place
def _gather(
    table, values, outages, length, used, clock, scenario, t, load_p, load_q, gen_p, gen_v, time_next, duration, hazard
) -> bool:  # pragma: no cover
    """Writes the fields of ``Injections`` for each (scenario, t); false, and nothing, if a scenario is not kept."""
    n_env, n_load = load_p.shape
    n_gen, n_line = gen_p.shape[1], hazard.shape[1]
    # the rows lie far apart, and are seldom in a cache
    for env in range(n_env):
        slot = find(table, scenario[env])
        if slot < 0:
            return False
        used[slot] = clock
        row = _row(t[env], length[slot])
        _ask_for_all(values[slot, row])
        _ask_for_all(outages[slot, row])
    for env in range(n_env):
        slot = find(table, scenario[env])
        row = _row(t[env], length[slot])
        value, outage = values[slot, row], outages[slot, row]
        for load in range(n_load):
            load_p[env, load] = value[load]
            load_q[env, load] = value[n_load + load]
        for gen in range(n_gen):
            gen_p[env, gen] = value[2 * n_load + gen]
            gen_v[env, gen] = value[2 * n_load + n_gen + gen]
        for line in range(n_line):
            time_next[env, line] = outage[line]
            duration[env, line] = outage[n_line + line]
            hazard[env, line] = outage[2 * n_line + line]
    return True


@rule
def _row(t, n_row):  # pragma: no cover
    return max(0, min(t, n_row - 1))


@rule
def _ask_for_all(array):  # pragma: no cover
    for i in range(0, len(array), CACHE_LINE // array.itemsize):
        ask_for(array, i)
    ask_for(array, len(array) - 1)
