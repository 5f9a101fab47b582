"""Which generators run: how long each has been up or down, and who switched one too soon."""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import rule
from marlgrid.model.system import System
from marlgrid.simulation import rules
from marlgrid.simulation.action import Action, no_attack
from marlgrid.simulation.frame import Memory
from marlgrid.simulation.own_rules import without
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.state import Outcome, State

STANDSTILL_MW = 1e-7
"""Below it a generator stands still (Grid2Op's)."""


def blame(system: System, before: State, memory: Memory, action: Action) -> None:
    """Blames zones whose generators start or stop too soon.

    As in Grid2Op the switch takes place all the same, whether redispatch or the schedule asked for it: the zone's
    action is reported as illegal and starts no cooldown. Writes: ruling.
    """
    ruling = memory.frame.ruling
    charged = np.zeros(ruling.accepted.shape, dtype=np.bool_)
    rows, gens = np.nonzero(memory.frame.too_soon)
    charged[rows, system.zones.gen[gens]] = True
    charged &= ruling.accepted
    others = without(action, charged | ~ruling.accepted)
    kept = rules.enforce(system, before, others, no_attack(before.n_env, system.grid.n_line))
    ruling.reason[charged] = Reason.GEN_SWITCHED_TOO_SOON
    ruling.accepted[charged] = False
    ruling.line_impacted[:] = kept.line_impacted
    ruling.sub_impacted[:] = kept.sub_impacted


# ---------------------------------------------------------------------------------------------------- kernels
@rule
def note_running(state) -> None:  # pragma: no cover
    """At the start of episodes: every generator has just started or stopped. Writes: commitment."""
    gen_p, commitment = state.flow.gen_p, state.commitment
    for e in range(gen_p.shape[0]):
        for g in range(gen_p.shape[1]):
            runs = abs(gen_p[e, g]) > STANDSTILL_MW
            commitment.uptime[e, g] = 0 if runs else -1
            commitment.downtime[e, g] = -1 if runs else 0


@rule
def start_and_stop(tables, frame) -> bool:  # pragma: no cover
    """Counts up and down times after the dispatch; true if a generator starts or stops too soon.

    In the step of such a switch no time is counted. Nothing happens where the parameters ignore minimum times. The
    order is Grid2Op's: starts first; where one is too soon, nothing else of that environment is counted. Writes:
    commitment, too_soon.
    """
    gens, too_soon, state = tables.gen, frame.too_soon, frame.state
    gen_p, setpoint = state.flow.gen_p, state.dispatch.setpoint
    uptime, downtime = state.commitment.uptime, state.commitment.downtime
    broken = False
    for e in range(len(frame.ran)):
        for g in range(len(gens)):
            too_soon[e, g] = False
        if not tables.rules[0].minimum_times or state.outcome[e] != Outcome.RUNNING:
            continue
        legal = True
        for g in range(len(gens)):
            was, runs = abs(gen_p[e, g]) > STANDSTILL_MW, abs(setpoint[e, g]) > STANDSTILL_MW
            too_soon[e, g] = runs and not was and downtime[e, g] < gens[g].min_downtime
            legal = legal and not too_soon[e, g]
        broken = broken or not legal
        if not legal:
            continue
        for g in range(len(gens)):
            was, runs = abs(gen_p[e, g]) > STANDSTILL_MW, abs(setpoint[e, g]) > STANDSTILL_MW
            if runs and not was:
                uptime[e, g], downtime[e, g] = 0, -1
            too_soon[e, g] = was and not runs and uptime[e, g] < gens[g].min_uptime
            legal = legal and not too_soon[e, g]
        broken = broken or not legal
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
    return broken
