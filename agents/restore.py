"""Leading a calm grid back to where it started, one safe action at a time."""

from __future__ import annotations

import numpy as np

from agents.candidates import Candidates
from marlgrid.simulation.state import State, take
from marlgrid.task.task import Task


def restore(
    task: Task, candidates: Candidates, state: State, rows: np.ndarray, worth: np.ndarray, safe: float
) -> np.ndarray:
    """(n_row, n_zone) table entries: for each of the episodes ``rows`` the worthiest legal action that is safe, or -1.

    ``worth`` (n_row, n_action) is 0 for what is not wanted. An action is safe when the highest loading expected after
    it stays below ``safe``; among the worthiest of those the lowest loading wins.
    """
    chosen = candidates.nothing(len(rows))
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
