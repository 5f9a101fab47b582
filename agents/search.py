"""Steps that searching agents are made of: add the best action, lead a calm grid back to where it started."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agents.candidates import Candidates
from marlgrid.simulation.action import Commands
from marlgrid.simulation.state import State, take
from marlgrid.task.task import Task

Defence = Callable[[Task, Candidates, State, np.ndarray, np.ndarray], np.ndarray]
"""(task, candidates, state, episodes (n_row,), their expected loading (n_row,)) -> (n_row, n_zone) table entries."""


def expected_loading(task: Task, candidates: Candidates, state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n_row,) the running episodes, their highest loading one step ahead if nobody acts, and the higher of that and
    the present one."""
    rows = np.flatnonzero(state.running)
    expected = candidates.loading_after(task, state, rows, candidates.nothing(len(rows)))
    return rows, expected, np.maximum(expected, state.rho[rows].max(axis=1, initial=0.0))


def searched(
    task: Task, candidates: Candidates, state: State, act_above: float, restore_below: float, defend: Defence
) -> dict[str, list[Commands]]:
    """What each zone plays: ``defend`` says it for episodes loaded at least ``act_above``, now or one step ahead; the
    calm ones are led back to the reference, see ``back_to_reference``."""
    chosen = candidates.nothing(state.n_env)
    rows, expected, loading = expected_loading(task, candidates, state)
    calm = loading < act_above
    chosen[rows[calm]] = back_to_reference(task, candidates, state, rows[calm], act_above, restore_below)
    chosen[rows[~calm]] = defend(task, candidates, state, rows[~calm], expected[~calm])
    return candidates.choices(chosen)


def add_best(
    task: Task,
    candidates: Candidates,
    state: State,
    rows: np.ndarray,
    open_rows: np.ndarray,
    allowed: np.ndarray,
    chosen: np.ndarray,
    loading: np.ndarray,
    margin: float,
) -> bool:
    """Gives a zone that is still free the action that leaves the lowest loading, where that is lower by ``margin``.

    Of the episodes ``rows[open_rows]``; ``allowed`` (n_open or 1, n_action) bool says which actions may be tried.
    Writes ``chosen`` (n_row, n_zone) and ``loading`` (n_row,), and says whether anything was added.
    """
    if len(open_rows) == 0:
        return False
    free = chosen[open_rows][:, candidates.table.zone] < 0
    row, action = np.nonzero(candidates.legal(take(state, rows[open_rows])) & free & allowed)
    row = open_rows[row]
    tried = candidates.with_one_more(chosen[row], action)
    result = candidates.loading_after(task, state, rows[row], tried)
    order = np.argsort(result, kind="stable")
    first, at = np.unique(row[order], return_index=True)
    best = order[at]
    helps = result[best] < loading[first] - margin
    chosen[first[helps]] = tried[best[helps]]
    loading[first[helps]] = result[best[helps]]
    return bool(helps.any())


def restore(
    task: Task, candidates: Candidates, state: State, rows: np.ndarray, worth: np.ndarray, safe: float
) -> np.ndarray:
    """(n_row, n_zone) table entries: for each of the episodes ``rows`` the worthiest legal action that is safe, or -1.

    ``worth`` (n_row, n_action) is 0 for what is not wanted. An action is safe when the highest loading expected after
    it stays below ``safe``; among the worthiest of those the lowest loading wins.
    """
    chosen = candidates.nothing(len(rows))
    if not worth.any():
        return chosen
    wanted = np.where(candidates.legal(take(state, rows)), worth, 0)
    row, action = np.nonzero(wanted)
    if len(row) == 0:
        return chosen
    tried = candidates.with_one_more(chosen[row], action)
    loading = candidates.loading_after(task, state, rows[row], tried)
    order = np.lexsort((loading, -wanted[row, action]))
    order = order[loading[order] < safe]
    first, at = np.unique(row[order], return_index=True)
    chosen[first] = tried[order[at]]
    return chosen


def back_to_reference(
    task: Task, candidates: Candidates, state: State, rows: np.ndarray, lines_below: float, below: float
) -> np.ndarray:
    """(n_row, n_zone) one step of a calm grid back to its start: a line put back where the loading then stays below
    ``lines_below``, else a substation unsplit, curtailment released or redispatch taken back, below ``below``."""
    if len(rows) == 0:
        return candidates.nothing(0)
    part = take(state, rows)
    lines = candidates.reconnects(part)
    chosen = restore(task, candidates, state, rows, lines.astype(int), lines_below)
    free = np.flatnonzero((chosen < 0).all(axis=1))
    worth = np.where(lines, 0, candidates.undoes(part))[free]
    chosen[free] = restore(task, candidates, state, rows[free], worth, below)
    return chosen
