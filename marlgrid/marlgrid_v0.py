"""Version 0 of the environments, in the form of PettingZoo's environment modules."""

from __future__ import annotations

from marlgrid.env.registry import env as env
from marlgrid.env.registry import gym_env as gym_env
from marlgrid.env.registry import parallel_env as parallel_env
from marlgrid.env.registry import raw_env as raw_env
from marlgrid.env.registry import vector_env as vector_env
