"""marlgrid: teams of agents learn to run a power grid while an adversary attacks it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from marlgrid import env as env
from marlgrid.env.registration import register

if TYPE_CHECKING:
    from marlgrid.env.parallel import GridParallelEnv as GridParallelEnv
    from marlgrid.env.registry import cases as cases
    from marlgrid.env.registry import gym_env as gym_env
    from marlgrid.env.registry import make as make
    from marlgrid.env.registry import make_task as make_task
    from marlgrid.env.registry import parallel_env as parallel_env
    from marlgrid.env.registry import raw_env as raw_env
    from marlgrid.env.registry import vector_env as vector_env
    from marlgrid.env.single import GridEnv as GridEnv
    from marlgrid.env.vector import GridVectorEnv as GridVectorEnv
    from marlgrid.model.datasets.case import load_case as load_case
    from marlgrid.model.grid import Grid as Grid
    from marlgrid.model.parameters import AttackRules as AttackRules
    from marlgrid.model.parameters import Parameters as Parameters
    from marlgrid.model.rule_set import RuleSet as RuleSet
    from marlgrid.model.system import System as System
    from marlgrid.model.zones import Zones as Zones
    from marlgrid.simulation.reason import Reason as Reason
    from marlgrid.simulation.state import Outcome as Outcome
    from marlgrid.task.menu import Menu as Menu
    from marlgrid.task.task import Task as Task

__version__ = "0.1.0"

_HOMES = {
    "marlgrid.env.parallel": ("GridParallelEnv",),
    "marlgrid.env.registry": ("cases", "gym_env", "make", "make_task", "parallel_env", "raw_env", "vector_env"),
    "marlgrid.env.single": ("GridEnv",),
    "marlgrid.env.vector": ("GridVectorEnv",),
    "marlgrid.model.datasets.case": ("load_case",),
    "marlgrid.model.grid": ("Grid",),
    "marlgrid.model.parameters": ("AttackRules", "Parameters"),
    "marlgrid.model.rule_set": ("RuleSet",),
    "marlgrid.model.system": ("System",),
    "marlgrid.model.zones": ("Zones",),
    "marlgrid.simulation.judge": ("Reason",),
    "marlgrid.simulation.state": ("Outcome",),
    "marlgrid.task.menu": ("Menu",),
    "marlgrid.task.task": ("Task",),
}
"""Public names by the module that defines them, loaded when first asked for: importing the package stays quick."""

_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", "env", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'marlgrid' has no attribute {name!r}; it offers {__all__}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__


register()
