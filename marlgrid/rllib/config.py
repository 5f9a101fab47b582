"""RLlib configurations for teams of zones and their opponent, ready to be built."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from marlgrid.rllib.adapter import RLlibParallelEnv
from marlgrid.rllib.batch_runner import BatchEnvRunner
from marlgrid.rllib.metrics import GridMetrics
from marlgrid.rllib.modules import CentralCriticModule, MaskedAPPOModule, MaskedModule, ScriptedModule
from marlgrid.rllib.policies import load_policies
from marlgrid.rllib.q_module import MaskedQModule
from marlgrid.rllib.registration import make_env, registered

OPPONENT = "opponent_"
SHARED = "zones"
POLICIES = ("independent", "shared")


@dataclass(frozen=True)
class TeamSettings:
    """Who learns, and how: the keyword arguments of ``ppo_config`` and ``appo_config``."""

    policies: str = "independent"
    """``"independent"``, one per zone under the agent's name, or ``"shared"``, one called ``zones`` (zones of equal
    spaces are needed: ``"pad": True`` in env_config makes them so)."""
    opponent: str | Path | Callable | None = None
    """``None`` leaves it to env_config; a name of a scripted attacker puts that one into the environment;
    ``"learned"`` trains it beside the zones; a checkpoint folder freezes the one trained there; a function
    (observation (n, n_observation), mask (n, n_action)) -> (n,) action ids plays it by a rule."""
    defenders: str | Path | None = None
    """A checkpoint whose policies play the zones, frozen, in the environment: with opponent ``"learned"``, only that
    learns, and is asked only when it may attack. Not batched."""
    central_critic: bool = False
    """Critics also see ``env.state()``."""
    hiddens: Sequence[int] = (64, 64)
    """Sizes of the hidden layers of actor and critic."""
    idle_probability: float = 0.0
    """How likely the untrained zones do nothing; 0 leaves all legal actions equally likely."""
    scales: Mapping[str, tuple] | None = None
    """Policy id -> (mean, std) of its observations, by which they are standardised."""
    num_envs: int = 8
    """Environments stepped by each runner."""
    batched: bool = False
    """Samples with ``BatchEnvRunner``, much faster; not with a centralised critic."""

    def __post_init__(self) -> None:
        if self.policies not in POLICIES:
            raise ValueError(f"policies is {self.policies!r}, choose from {POLICIES}")
        if self.defenders is not None and (self.opponent != "learned" or self.batched):
            raise ValueError(
                'defenders are for an opponent that learns against them: opponent="learned", batched=False'
            )
        if self.batched and self.central_critic:
            raise ValueError("a centralised critic needs RLlib's own sampling: leave batched at False")

    @property
    def mapping(self) -> Callable[..., str]:
        """Agent -> policy id, importable so that checkpoints can name it."""
        return one_policy_each if self.policies == "independent" else one_policy_for_zones


def ppo_config(env_config: Mapping | None = None, **settings: Any) -> PPOConfig:
    """PPO for the environment ``marlgrid.parallel_env(**env_config)``; build it with ``.build_algo()``.

    Args:
        env_config: arguments of the environment (and those of ``make_env``).
        **settings: the fields of ``TeamSettings``: policies, opponent, central_critic, hiddens, idle_probability, ...
    """
    team = TeamSettings(**settings)
    return _team_config(_CheckedPPO(), CentralCriticModule if team.central_critic else MaskedModule, env_config, team)


def appo_config(env_config: Mapping | None = None, **settings: Any) -> APPOConfig:
    """The same for asynchronous PPO; it has no centralised critic."""
    team = TeamSettings(**settings)
    if team.central_critic:
        raise ValueError("central_critic is for ppo_config; APPO's module has the local critic only")
    return _team_config(_CheckedAPPO(), MaskedAPPOModule, env_config, team)


def dqn_config(
    env_config: Mapping | None = None,
    explore: Sequence[tuple[int, float]] = ((0, 1.0), (20_000, 0.05)),
    **settings: Any,
) -> DQNConfig:
    """Deep Q-learning with double Q-values and a replay buffer, for discrete actions; it has no critics.

    ``explore``: (decisions so far, share of random actions), with lines between; ``idle_probability`` is the part of
    the random actions that do nothing.
    """
    team = TeamSettings(**settings)
    if team.central_critic or team.batched:
        raise ValueError("DQN has no critics and needs RLlib's own sampling: leave central_critic and batched at False")
    config = _CheckedDQN().training(
        replay_buffer_config={"type": "MultiAgentEpisodeReplayBuffer", "capacity": 100_000},
        double_q=True,
        dueling=False,
        num_atoms=1,
    )
    module = {"explore": [list(point) for point in explore], "explore_idle": team.idle_probability}
    return _team_config(config, MaskedQModule, env_config, team, module)


def _team_config(
    config: AlgorithmConfig, module: type, env_config: Mapping | None, team: TeamSettings, more: Mapping | None = None
) -> Any:
    """``config`` with environment, modules and callbacks; ``module`` is the class of what is trained, made with the
    settings ``more`` besides those of the team."""
    env_config = {**(env_config or {}), "with_state": team.central_critic}
    if team.defenders is not None:
        env_config["frozen"] = str(team.defenders)
    fixed = _fixed_opponent(team.opponent)
    if team.opponent == "learned" or fixed is not None:
        env_config["opponent"] = "agent"
    elif team.opponent is not None:
        env_config["opponent"] = team.opponent
    env = make_env(env_config)
    if team.policies == "shared":
        _check_equal_spaces(env)
    specs = _specs(env, module, team, fixed, more or {})
    trained = [name for name, spec in specs.items() if spec.module_class is module]
    env.close()
    if team.batched:
        env_config["n_envs"] = team.num_envs
        config.env_runners(env_runner_cls=BatchEnvRunner)
    return (
        config.environment(registered(), env_config=env_config)
        .multi_agent(policies=sorted(specs), policy_mapping_fn=team.mapping, policies_to_train=trained)
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
        .env_runners(num_env_runners=0, num_envs_per_env_runner=1 if team.batched else team.num_envs)
        .callbacks(GridMetrics)
    )


def _specs(
    env: RLlibParallelEnv, module: type, team: TeamSettings, fixed: Callable | None, more: Mapping
) -> dict[str, RLModuleSpec]:
    """Policy id -> its network, or the fixed policy of an opponent."""
    specs = {}
    for name in sorted({team.mapping(agent) for agent in env.possible_agents}):
        adversary = name.startswith(OPPONENT)
        if adversary and fixed is not None:
            specs[name] = RLModuleSpec(module_class=ScriptedModule, model_config={"policy": fixed})
            continue
        settings = {
            "hiddens": tuple(team.hiddens),
            # only the zones have a reason to begin with doing nothing
            "idle_probability": 0.0 if adversary else team.idle_probability,
            "act_above": env.act_above,
            "scale": (team.scales or {}).get(name),
            **more,
        }
        specs[name] = RLModuleSpec(module_class=module, model_config=settings)
    return specs


def one_policy_each(agent_id: str, *_: Any, **__: Any) -> str:
    """Policy of an agent: its own."""
    return agent_id


def one_policy_for_zones(agent_id: str, *_: Any, **__: Any) -> str:
    """Policy of an agent: one for all zones, its own for an opponent."""
    return agent_id if agent_id.startswith(OPPONENT) else SHARED


def _fixed_opponent(opponent: str | Path | Callable | None) -> Callable | None:
    """The policy of an opponent agent that is not trained, if it is one."""
    if callable(opponent):
        return opponent
    if isinstance(opponent, Path) or (opponent is not None and os.sep in opponent):
        found = {name: policy for name, policy in load_policies(opponent).items() if name.startswith(OPPONENT)}
        if not found:
            raise ValueError(f'checkpoint {str(opponent)!r} has no opponent: train one with opponent="learned"')
        return found[min(found)]
    return None


def _check_equal_spaces(env: RLlibParallelEnv) -> None:
    zones = [agent for agent in env.possible_agents if not agent.startswith(OPPONENT)]
    for agent in zones[1:]:
        for kind in (env.observation_spaces, env.action_spaces):
            if kind[agent] != kind[zones[0]]:
                raise ValueError(
                    f"zones that share a policy need equal spaces, but {zones[0]} has {kind[zones[0]]} and {agent} has "
                    f'{kind[agent]}: put "pad": True into env_config, or use policies="independent"'
                )


# ------------------------------------------------------------------------------------------------ resources
def check_resources(config: AlgorithmConfig) -> None:
    """Raises ValueError if the actors asked for can never all be placed: RLlib would wait for them without a word."""
    available = ray.cluster_resources().get("CPU", 0.0) if ray.is_initialized() else float(os.cpu_count() or 1)
    runners = config.num_env_runners + config.evaluation_num_env_runners
    per_learner = config.num_cpus_per_learner if isinstance(config.num_cpus_per_learner, int | float) else 1
    needed = runners * config.num_cpus_per_env_runner + config.num_learners * per_learner
    if needed > available:
        share = math.floor(100 * (available - config.num_learners * per_learner) / max(runners, 1)) / 100
        raise ValueError(
            f"{config.num_env_runners} runners, {config.evaluation_num_env_runners} evaluation runners and "
            f"{config.num_learners} remote learners need {needed:g} CPUs, there are {available:g}: use fewer, or "
            f".env_runners(num_cpus_per_env_runner={max(share, 0.01):g})"
        )


class _CheckedPPO(PPOConfig):
    """Refuses to hang."""

    def validate(self) -> None:
        super().validate()
        check_resources(self)


class _CheckedDQN(DQNConfig):
    """Refuses to hang."""

    def validate(self) -> None:
        super().validate()
        check_resources(self)


class _CheckedAPPO(APPOConfig):
    """Refuses to hang."""

    def validate(self) -> None:
        super().validate()
        check_resources(self)
