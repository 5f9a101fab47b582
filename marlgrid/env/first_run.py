"""The one long wait: numba compiles the kernels when they are first called on a machine, and keeps them on disk.

What takes long is compiled before the first environment is made, by two processes at once: this one plays a step
without solving it, another one solves power flows and generates a scenario. Where there can be no other process, or it
fails, its kernels are compiled when they are first called, as are the small ones that are needed here and there.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from time import sleep

import numpy as np

from marlgrid.compiled import cache_folder, is_compiled
from marlgrid.model.datasets.arrays import ArraySeries
from marlgrid.model.datasets.case import load_case
from marlgrid.model.grid import Grid
from marlgrid.powerflow.base import Flow, PowerFlowInput, zero_flow
from marlgrid.powerflow.newton import NewtonPowerFlow
from marlgrid.powerflow.solution import FEWEST, solve_groups, solve_rows
from marlgrid.simulation.protections import trip
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.features import VectorObservation
from marlgrid.task.reward import reward_from
from marlgrid.task.task import Task

LOGGER = logging.getLogger("marlgrid")
SMALLEST = "case5"
"""The case that is played: kernels are compiled for types of arrays, not for their sizes."""
PATIENCE = 300.0
"""Seconds after which a process no longer waits for another one to compile."""
ELSEWHERE = "from marlgrid.env import first_run; first_run.solve_once(); first_run.generate_once()"
"""What the other process runs; nothing of the user's program is imported in it."""


@lru_cache(maxsize=1)
def compile_kernels() -> bool:
    """Compiles, once per process, where kernels are missing or older than their text, and says so.

    Of several processes that come here at once, one compiles and the others wait for it.
    """
    if _compiled():
        return False
    LOGGER.warning("first run on this machine: compiling the simulation's kernels takes half a minute or so")
    with _alone():
        if not _compiled():
            with _other_half():
                play_once()
    return True


def _compiled() -> bool:
    return all(is_compiled(kernel) for kernel in (trip, solve_rows, solve_groups))


# ---------------------------------------------------------------------------------------------------- what is compiled
def play_once() -> None:
    """A start and a step of all agents on a grid without loads; the power flow is not solved."""
    system = load_case(SMALLEST).system
    n_columns = {"load_p": system.grid.n_load, "load_q": system.grid.n_load, "prod_p": system.grid.n_gen}
    series = ArraySeries(system.grid, [{name: np.zeros((2, n)) for name, n in n_columns.items()}])
    task = Task(
        system,
        series,
        _Unsolved(system.grid),
        DiscreteActions(system),
        VectorObservation(system, series),
        reward_from("survival"),
        opponent_agent=True,
    )
    episode, _ = task.reset(0)
    task.step(episode, {agent: [0] for agent in task.agents})


def solve_once() -> None:
    """The power flow of a grid without loads, alone and in a batch."""
    grid = load_case(SMALLEST).system.grid
    solver = NewtonPowerFlow(grid)
    for n_env in (1, FEWEST):
        dead = zero_flow(n_env, grid.n_line, grid.n_gen, grid.n_load, grid.n_storage, grid.n_shunt, grid.n_bus)
        on_first = np.ones((n_env, grid.dim_topo), np.int32), np.ones((n_env, grid.n_shunt), np.int32)
        nominal = np.tile(grid.sub_vn_kv[grid.gen_to_subid], (n_env, 1))
        inputs = PowerFlowInput(*on_first, dead.gen_p, nominal, dead.load_p, dead.load_q, dead.storage_p)
        solver.solve(inputs, dead.voltage, np.ones(n_env, dtype=bool))


def generate_once() -> None:
    """A scenario of a built-in case."""
    load_case(SMALLEST).series.at(np.zeros(1, np.int64), np.zeros(1, np.int64))


class _Unsolved:
    """A power flow of zeros, for grids whose flows nobody looks at."""

    def __init__(self, grid: Grid) -> None:
        self.sizes = grid.n_line, grid.n_gen, grid.n_load, grid.n_storage, grid.n_shunt, grid.n_bus

    def solve(self, inputs: PowerFlowInput, start: np.ndarray, rows: np.ndarray) -> Flow:  # noqa: ARG002
        return zero_flow(len(rows), *self.sizes)._replace(converged=rows.copy())


# ---------------------------------------------------------------------------------------------------- by whom
@contextmanager
def _other_half() -> Iterator[None]:
    """Meanwhile another process solves and generates; it is waited for."""
    other = _begun()
    try:
        yield
        if other is not None:
            other.wait()
    finally:
        if other is not None:
            other.kill()  # after an error, or Ctrl-C
            other.wait()


def _begun() -> subprocess.Popen[bytes] | None:
    """The other process; None where there can be none."""
    interpreter = "" if getattr(sys, "frozen", False) else sys.executable
    path = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path)
    surroundings = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    quiet = subprocess.DEVNULL
    try:
        return subprocess.Popen(
            [interpreter, "-c", ELSEWHERE], env=surroundings, stdin=quiet, stdout=quiet, stderr=quiet
        )
    except OSError:
        return None


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time, where the system can tell, unless the other one takes too long: it may have been halted.

    The lock ends with the process that holds it, however that ends.
    """
    with ExitStack() as held:
        with suppress(ImportError, OSError):
            import fcntl

            lock = held.enter_context((cache_folder(trip) / "first_run.lock").open("w"))
            for _ in range(round(PATIENCE / 0.2)):
                with suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                sleep(0.2)
        yield
