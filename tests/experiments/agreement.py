"""How the tests play both worlds: quietly, and one pair per case."""

from __future__ import annotations

import warnings
from functools import lru_cache

from experiments.parity_lock_step import LockStep


def quietly(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


@lru_cache(maxsize=1)
def worlds(case: str) -> LockStep:
    """The pair of worlds of a case; tests go through a case before the next one."""
    return quietly(lambda: LockStep(case))


def agree(lock_step: LockStep, policy: str, n_step: int, n_simulate: int, n_action: int) -> None:
    """Plays a policy in both and holds that nothing differs."""
    tally = quietly(lambda: lock_step.run(policy, n_step, n_simulate, progress=False, n_action=n_action))
    assert tally.mismatches == []
    assert tally.steps >= n_step
    assert tally.simulated >= n_action
