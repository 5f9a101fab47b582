"""The environment under the name ``"marlgrid"`` in RLlib's registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.registry import register_env

from marlgrid.env.registry import parallel_env
from marlgrid.rllib.adapter import RLlibParallelEnv

ENV_NAME = "marlgrid"
ADAPTER_SETTINGS = ("with_state", "act_above")


def make_env(config: Mapping) -> RLlibParallelEnv:
    """The environment of an RLlib ``env_config``.

    ``with_state`` and ``act_above`` are settings of ``RLlibParallelEnv``; ``make`` is a function that returns a
    parallel environment (default ``marlgrid.parallel_env``); everything else is handed to it. A ``case`` that is a
    function is called, and gives the ``Task``: so a task that cannot be sent to other processes is made in each.
    """
    arguments = with_case_made(config)
    arguments.pop("n_envs", None)  # of BatchEnvRunner
    settings = {name: arguments.pop(name) for name in ADAPTER_SETTINGS if name in arguments}
    make = arguments.pop("make", parallel_env)
    return RLlibParallelEnv(make(**{"mask": "observation", **arguments}), **settings)


def with_case_made(config: Mapping) -> dict[str, Any]:
    """The arguments, with a ``case`` that is a function replaced by what it returns."""
    arguments = dict(config)
    if callable(arguments.get("case")):
        arguments["case"] = arguments["case"]()
    return arguments


register_env(ENV_NAME, make_env)
