"""Which generators run: how long each has been up or down, and who switched one too soon."""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import kernel
from marlgrid.model.system import System
from marlgrid.simulation import rules
from marlgrid.simulation.action import Action, no_attack
from marlgrid.simulation.judge import Reason
from marlgrid.simulation.own_rules import without
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import Commitment, Outcome, State

STANDSTILL_MW = 1e-7
"""Below it a generator stands still (Grid2Op's)."""


def initial_commitment(gen_p: np.ndarray) -> Commitment:
    """At the start of episodes in which generators produce ``gen_p`` (n_env, n_gen) MW."""
    runs = np.abs(gen_p) > STANDSTILL_MW
    return Commitment(np.where(runs, 0, -1).astype(np.int32), np.where(runs, -1, 0).astype(np.int32))


def start_and_stop(system: System, before: State, state: State, action: Action, ruling: Ruling) -> tuple[State, Ruling]:
    """Counts up and down times after the dispatch, and blames zones whose generators start or stop too soon.

    As in Grid2Op the switch takes place all the same, whether redispatch or the schedule asked for it: the zone's
    action is reported as illegal and starts no cooldown. In the step of an illegal switch no time is counted. Nothing
    happens where the parameters ignore minimum times. Writes: commitment.
    """
    if system.parameters.ignore_min_up_down_time:
        return state, ruling
    uptime, downtime = (array.copy() for array in state.commitment)
    too_soon = np.zeros(uptime.shape, dtype=np.bool_)
    running = state.outcome == Outcome.RUNNING
    _count(system.tables.gen, running, state.flow.gen_p, state.dispatch.setpoint, uptime, downtime, too_soon)
    state = state._replace(commitment=Commitment(uptime, downtime))
    return (state, _charged(system, before, action, ruling, too_soon)) if too_soon.any() else (state, ruling)


def _charged(system: System, before: State, action: Action, ruling: Ruling, too_soon: np.ndarray) -> Ruling:
    """The ruling with the owners of generators switched ``too_soon`` (n_env, n_gen) blamed: no cooldown for them."""
    charged = np.zeros(ruling.accepted.shape, dtype=np.bool_)
    rows, gens = np.nonzero(too_soon)
    charged[rows, system.zones.gen[gens]] = True
    charged &= ruling.accepted
    others = without(action, charged | ~ruling.accepted)
    kept = rules.enforce(system, before, others, no_attack(before.n_env, system.grid.n_line))
    return ruling._replace(
        reason=np.where(charged, np.int8(Reason.GEN_SWITCHED_TOO_SOON), ruling.reason),
        accepted=ruling.accepted & ~charged,
        line_impacted=kept.line_impacted,
        sub_impacted=kept.sub_impacted,
    )


# ---------------------------------------------------------------------------------------------------- kernels
@kernel
def _count(gens, running, gen_p, setpoint, uptime, downtime, too_soon):  # pragma: no cover
    """Grid2Op's order: starts first; where one is too soon, nothing else of that environment is counted."""
    for e in range(len(running)):
        if not running[e]:
            continue
        legal = True
        for g in range(len(gens)):
            was, runs = abs(gen_p[e, g]) > STANDSTILL_MW, abs(setpoint[e, g]) > STANDSTILL_MW
            too_soon[e, g] = runs and not was and downtime[e, g] < gens[g].min_downtime
            legal = legal and not too_soon[e, g]
        if not legal:
            continue
        for g in range(len(gens)):
            was, runs = abs(gen_p[e, g]) > STANDSTILL_MW, abs(setpoint[e, g]) > STANDSTILL_MW
            if runs and not was:
                uptime[e, g], downtime[e, g] = 0, -1
            too_soon[e, g] = was and not runs and uptime[e, g] < gens[g].min_uptime
            legal = legal and not too_soon[e, g]
        if not legal:
            continue
        for g in range(len(gens)):
            was, runs = abs(gen_p[e, g]) > STANDSTILL_MW, abs(setpoint[e, g]) > STANDSTILL_MW
            if was and not runs:
                uptime[e, g], downtime[e, g] = -1, 0
            elif was and runs:
                uptime[e, g] += 1
            elif not was and not runs:
                downtime[e, g] += 1
