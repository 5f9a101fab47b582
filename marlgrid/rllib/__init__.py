"""Training with Ray RLlib (new API stack): one-call configurations, masked modules, policies out of checkpoints.

Importing this package registers the environment ``"marlgrid"`` with RLlib as soon as one of its RLlib names is used;
``load_policies`` and ``Policy`` need neither Ray nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "BatchEnvRunner": "batch_runner",
    "RLlibParallelEnv": "adapter",
    "TeamSettings": "config",
    "appo_config": "config",
    "dqn_config": "config",
    "ppo_config": "config",
    "make_env": "registration",
    "GridMetrics": "metrics",
    "CentralCriticModule": "modules",
    "MaskedAPPOModule": "modules",
    "MaskedModule": "modules",
    "MaskedQModule": "q_module",
    "ScriptedModule": "modules",
    "Policy": "policies",
    "PricedCost": "price",
    "load_policies": "policies",
    "set_price": "price",
}
"""Public name -> module that holds it, imported when first asked for: policies run where Ray is not installed."""

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {__all__}")
    return getattr(import_module(f"marlgrid.rllib.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
