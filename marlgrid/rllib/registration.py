"""The environment under the name ``"marlgrid"`` in RLlib's registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.registry import register_env

from marlgrid.env.registry import parallel_env
from marlgrid.rllib.adapter import RLlibParallelEnv
from marlgrid.rllib.policies import Policy, load_policies

ENV_NAME = "marlgrid"
ADAPTER_SETTINGS = ("with_state", "act_above", "cost")


def make_env(config: Mapping) -> RLlibParallelEnv:
    """The environment of an RLlib ``env_config``.

    ``with_state``, ``act_above`` and ``cost`` are settings of ``RLlibParallelEnv``; ``frozen`` is a checkpoint whose
    policies play the zones, so that the opponent alone is an agent; ``make`` is a function that returns a parallel
    environment (default ``marlgrid.parallel_env``); everything else is handed to it. A ``case`` that is a function is
    called, and gives the ``Task``: so a task that cannot be sent to other processes is made in each.
    """
    arguments = with_case_made(config)
    arguments.pop("n_envs", None)  # of BatchEnvRunner
    settings = {name: arguments.pop(name) for name in ADAPTER_SETTINGS if name in arguments}
    frozen, make = arguments.pop("frozen", None), arguments.pop("make", parallel_env)
    env = make(**{"mask": "observation", **arguments})
    if frozen is not None:
        settings["frozen"] = _zones_of(frozen, env.possible_agents)
    return RLlibParallelEnv(env, **settings)


def _zones_of(checkpoint: str, agents: Sequence[str]) -> dict[str, Policy]:
    """The policies that play the zones, their own or the one that they share. Raises ValueError without any."""
    policies = load_policies(checkpoint)
    zones = [agent for agent in agents if agent.startswith("zone_")]
    missing = [zone for zone in zones if zone not in policies and "zones" not in policies]
    if missing:
        raise ValueError(f"checkpoint {checkpoint!r} has no policy for {missing}, only {sorted(policies)}")
    return {zone: policies.get(zone) or policies["zones"] for zone in zones}


def with_case_made(config: Mapping) -> dict[str, Any]:
    """The arguments, with a ``case`` that is a function replaced by what it returns."""
    arguments = dict(config)
    if callable(arguments.get("case")):
        arguments["case"] = arguments["case"]()
    return arguments


def registered() -> str:
    """The environment's name, known to RLlib from now on: Ray forgets its names with each ``ray.shutdown()``."""
    register_env(ENV_NAME, make_env)
    return ENV_NAME


registered()
