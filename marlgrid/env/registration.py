"""The environments in the registries of gymnasium and, from its version 1.27 on, of PettingZoo."""

from __future__ import annotations

import gymnasium
import pettingzoo

CASES = ("case5", "case14", "case118")


def register() -> None:
    """``marlgrid/Case14-v0`` and so on: with PettingZoo all agents, with gymnasium one agent for the whole grid."""
    for case in CASES:
        name = f"marlgrid/{case.capitalize()}-v0"
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point="marlgrid.marlgrid_v0:gym_env", kwargs={"case": case})
        if hasattr(pettingzoo, "register") and name not in pettingzoo.parallel_registry:
            pettingzoo.register(
                "parallel", name, entry_point="marlgrid.marlgrid_v0:parallel_env", kwargs={"case": case}
            )
            pettingzoo.register("aec", name, entry_point="marlgrid.marlgrid_v0:env", kwargs={"case": case})
