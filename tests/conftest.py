"""What all tests share: the hypothesis profiles (HYPOTHESIS_PROFILE=long is thorough), and no Ray left running."""

from __future__ import annotations

import os
import sys
import warnings

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", parent=settings.get_profile("default"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="module", autouse=True)
def _no_ray_left_running():
    """A process has one Ray: what one module leaves running would be in the way of the next."""
    yield
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.shutdown()
