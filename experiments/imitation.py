"""Learning from a searching team before learning by trial: what it would do, in the words of the zones' actions.

Cloning a planner's answers gives policies that act in microseconds, and a start from which reinforcement goes on
(Pomerleau 1991; Silver et al. 2016 began so). Most of the answers are about what the zones themselves get into (Ross
et al. 2011, DAgger).
"""

from __future__ import annotations

import math

import numpy as np

from agents.greedy import Greedy
from experiments.settings import TrainSettings
from experiments.tasks import zone_menu
from marlgrid.simulation.action import Commands
from marlgrid.simulation.state import State
from marlgrid.task.task import Task

LATEST = 0.95
"""Loading from which on the teacher acts, if it is not asked earlier."""
ENOUGH, RESTORE = 0.1, 0.2
"""How far below the loading at which the teacher acts it is content, and at which it leads a calm grid back."""


class Teacher:
    """The greedy search over the same actions as the zones have, one step ahead on the forecast.

    It acts from the loading on at which the team is asked, at 0.95 at the latest.
    """

    def __init__(self, task: Task, settings: TrainSettings) -> None:
        splits = settings.actions == "splits"
        above = min(settings.act_above, LATEST)
        self.greedy = Greedy(
            act_above=above,
            enough=above - ENOUGH,
            restore_below=above - RESTORE,
            menu=zone_menu(splits),
            split_above=1.0 if splits else math.inf,
        )
        zones = enumerate(task.zones)
        sizes = {zone: int(task.action_space(zone).n) for zone in task.zones}
        self.numbers = {
            zone: {_key(task.actions.commands(z, n)): n for n in reversed(range(sizes[zone]))} for z, zone in zones
        }
        """Zone -> what an action asks for -> its number."""

    def answers(self, task: Task, state: State) -> np.ndarray:
        """(n_zone, n_env) elements of the action spaces; doing nothing where a zone does not have the action."""
        planned = self.greedy.plan(task, state)
        return np.array([[self.numbers[zone].get(_key(asked), 0) for asked in planned[zone]] for zone in task.zones])


def _key(commands: Commands) -> tuple:
    return tuple(zip(commands.kind.tolist(), commands.index.tolist(), commands.value.round(9).tolist(), strict=True))
