"""Learning from a searching team before learning by trial: what it would do, in the words of the zones' actions.

Cloning a planner's answers gives policies that act in microseconds, and a start from which reinforcement goes on
(Pomerleau 1991; Silver et al. 2016 began so).
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


class Teacher:
    """The greedy search over the same actions as the zones have, one step ahead on the forecast."""

    def __init__(self, task: Task, settings: TrainSettings) -> None:
        splits = settings.actions == "splits"
        self.greedy = Greedy(menu=zone_menu(splits), split_above=1.0 if splits else math.inf)
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
