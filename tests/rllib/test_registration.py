"""RLlib finds the environment by its name, also after Ray was shut down and started again."""

from __future__ import annotations

import logging

import pytest

ray = pytest.importorskip("ray")
pytest.importorskip("torch")


@pytest.mark.filterwarnings("ignore")
def test_the_name_is_known_after_ray_was_shut_down():
    from ray.tune.registry import ENV_CREATOR, _global_registry

    from marlgrid.rllib import ppo_config

    for _ in range(2):
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        try:
            config = ppo_config({"case": "case5", "max_steps": 24})
            assert _global_registry.contains(ENV_CREATOR, config.env)
        finally:
            ray.shutdown()
