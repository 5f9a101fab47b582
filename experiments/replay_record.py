"""An episode of the matrix played once more and taken down step by step, waves of a cascade included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agents import agent_from
from experiments.attribution import attribute
from experiments.attribution_record import written_down
from experiments.evaluation import Moment, Starts, played
from experiments.robustness_play import Cell, Study
from marlgrid.render.style import clock
from marlgrid.render.summary import split_substations, zone_summaries
from marlgrid.simulation.frame import power_flow_input
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.state import Outcome, State
from marlgrid.task.task import Task

IN, OUT, ATTACKED, PLANNED = "ioap"
"""How a line stands: in service, out, under attack, in maintenance or failed."""


class Trip(NamedTuple):
    """A line that the protections opened."""

    line: int
    wave: int
    """1 for those that the step itself overloaded, 2 for those that the trips of wave 1 overloaded, ..."""
    words: str


class Frame(NamedTuple):
    """One picture of the replay."""

    step: int
    when: str
    title: str
    rho: list[int]
    """(n_line) loading in percent."""
    status: str
    """(n_line) letters, see above."""
    split: list[int]
    """Substations with elements on several busbars."""
    attacks: list[str]
    """What the attacker began, or holds."""
    actions: list[tuple[str, str, str]]
    """Zone, its action in words, why it was refused if it was."""
    trips: list[Trip]
    """Of this wave and of those before it in the same step."""
    zones: list[tuple[float, float, float]]
    """(n_zone) load and generation in MW, highest loading."""
    lost: bool


@dataclass(frozen=True)
class Replay:
    """An episode with its frames."""

    cell: Cell
    number: int
    """Which episode of the study."""
    outcome: str
    survived_steps: int
    steps: int
    """Of an episode that is not lost."""
    frames: list[Frame]
    cause: str
    """What started the blackout and who had a last chance, in words (``attribution``, open loop)."""
    task: Task


def replay(study: Study, cell: Cell, number: int, last: int) -> Replay:
    """The last steps (at most ``last``, and the state before them) of an episode, in at least one frame each."""
    task, starts = study.task(cell), study.starts()
    one = np.array([number])
    lone = Starts(starts.seed[one], starts.scenario[one], starts.t_start[one], starts.max_steps)
    moments = list(played(task, agent_from(cell.defender.spec), lone))
    frames = [_opening(task, moments[-last:][0])]
    for moment in moments[-last:]:
        frames += _frames(task, moment)
    state = moments[-1].after.state
    survived = int(moments[-1].outputs.infos[task.zones[0]]["survived_steps"][0])
    steps = int(state.t_end[0] - state.t_start[0])
    (recorded,) = written_down(task, moments)
    cause = attribute(task, recorded).why if recorded.lost else ""
    return Replay(cell, number, recorded.outcome.name, survived, steps, frames, cause, task)


def _opening(task: Task, moment: Moment) -> Frame:
    """The state before the first step."""
    return _frame(task, moment.before.state, moment.before.state, "before", [], [])


def _frames(task: Task, moment: Moment) -> Iterator[Frame]:
    """A step: a frame per wave of trips, then the state it led to."""
    after, actions = moment.after.state, _actions(task, moment)
    trips: list[Trip] = []
    for wave, shown in enumerate(_waves(task, moment)):
        lines = np.flatnonzero(after.disc_lines[0] == wave)
        trips = [*trips, *(_trip(task, moment.before.state, shown, int(line), wave) for line in lines)]
        title = f"wave {wave + 1} of the cascade"
        yield _frame(task, moment.before.state, shown, title, actions, trips)
    outcome = Outcome(int(after.outcome[0]))
    title = f"blackout: {outcome.name.replace('_', ' ').lower()}" if after.lost[0] else "after the step"
    yield _frame(task, moment.before.state, after, title, actions, trips)


def _waves(task: Task, moment: Moment) -> Iterator[State]:
    """The state in which each wave of trips finds the grid: flows with the lines that are still in service then."""
    after = moment.after.state
    place = task.system.grid.line_or_pos_topo_vect, task.system.grid.line_ex_pos_topo_vect
    voltage = moment.before.state.flow.voltage
    for wave in range(int(after.disc_lines.max()) + 1):
        topo_vect = after.topology.topo_vect.copy()
        still = after.disc_lines[0] >= wave
        for end in place:
            topo_vect[0, end[still]] = after.topology.last_bus[0, end[still]]
        flow = task.solver.solve(power_flow_input(after, topo_vect), voltage, np.array([True]))
        voltage = flow.voltage
        yield after._replace(
            flow=flow,
            rho=flow.a_or / after.thermal_limit,
            topology=after.topology._replace(topo_vect=topo_vect),
            outcome=np.full(1, Outcome.RUNNING, dtype=after.outcome.dtype),
        )


def _trip(task: Task, before: State, shown: State, line: int, wave: int) -> Trip:
    rho = float(shown.rho[0, line])
    steps = int(before.counters.timestep_protection_engaged[0, line]) + 1
    why = "at once" if rho > task.system.parameters.hard_overflow_threshold else f"step {steps} above its limit"
    return Trip(line, wave + 1, f"{task.system.grid.name_line[line]} trips at {100 * rho:.1f} % ({why})")


def _actions(task: Task, moment: Moment) -> list[tuple[str, str, str]]:
    infos, found = moment.outputs.infos, []
    for zone in task.zones:
        words = str(task.describe_action(moment.choices[zone][0], zone))
        reason = Reason(int(infos[zone]["reason"][0]))
        refused = "" if reason == Reason.ACCEPTED else reason.name.replace("_", " ").lower()
        if words != "do nothing" or refused:
            found.append((zone, words, refused))
    return found


def _frame(
    task: Task, before: State, state: State, title: str, actions: list[tuple[str, str, str]], trips: list[Trip]
) -> Frame:
    system = task.system
    when, _ = clock(state, task.series, 0)
    zones = [(round(z.load_mw, 1), round(z.gen_mw, 1), round(z.max_rho, 3)) for z in zone_summaries(system, state)]
    return Frame(
        step=int(state.t[0] - state.t_start[0]),
        when=when,
        title=title,
        rho=np.round(100 * state.rho[0]).astype(int).tolist(),
        status=_status(task, state),
        split=np.flatnonzero(split_substations(system, state)).tolist(),
        attacks=_attacks(task, before, state),
        actions=actions,
        trips=trips,
        zones=zones,
        lost=bool(state.lost[0]),
    )


def _status(task: Task, state: State) -> str:
    out = state.topology.topo_vect[0, task.system.grid.line_or_pos_topo_vect] < 0
    planned = (state.injections.time_next_maintenance[0] == 0) | (state.injections.hazard_duration[0] > 0)
    letters = np.where(out, np.where(planned, PLANNED, OUT), IN)
    return "".join(np.where(out & (state.attacked.line[0] > 0), ATTACKED, letters))


def _attacks(task: Task, before: State, state: State) -> list[str]:
    names, words = task.system.grid.name_line, []
    for line in np.flatnonzero(state.attacked.line[0] > 0):
        left = int(state.attacked.line[0, line])
        begun = left > max(int(before.attacked.line[0, line]) - 1, 0)
        words.append(
            f"attacks {names[line]} for {left} steps" if begun else f"holds {names[line]}, {left - 1} more steps"
        )
    return words
