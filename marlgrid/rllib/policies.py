"""Trained policies outside RLlib: read from a checkpoint, run on NumPy alone."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MODULES = Path("learner_group") / "learner" / "rl_module"
"""Where a checkpoint of an RLlib algorithm keeps its modules, one folder each."""


@dataclass(frozen=True, eq=False)
class Policy:
    """The actor of one agent (or of several that share it): tanh layers, then a masked choice per component.

    Being callable with (observation, mask) it also serves as a frozen opponent in ``ppo_config(opponent=...)``.
    """

    weights: tuple[np.ndarray, ...]
    """Of each layer, (n_out, n_in) float32."""
    biases: tuple[np.ndarray, ...]
    components: tuple[int, ...]
    """Number of actions; several numbers for a multi-discrete space."""
    act_above: float = 0.0
    """It was trained to act only when the highest line loading reaches this ratio, or a line waits to be put back."""

    @property
    def n_observation(self) -> int:
        return self.weights[0].shape[1]

    def logits(self, observation: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """(n, n_action) float32 for a batch of observations (n, n_observation); -inf where the mask is 0."""
        values = np.asarray(observation, dtype=np.float32)
        if values.ndim != 2 or values.shape[1] != self.n_observation:
            raise ValueError(
                f"observation has shape {values.shape}, this policy takes (n, {self.n_observation}): make the "
                "environment with the settings that the policy was trained with"
            )
        if np.shape(mask) != (len(values), sum(self.components)):
            raise ValueError(f"mask has shape {np.shape(mask)}, give {(len(values), sum(self.components))}")
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values = np.tanh(values @ weight.T + bias)
        return np.where(np.asarray(mask) > 0, values @ self.weights[-1].T + self.biases[-1], -np.inf)

    def act(
        self, observation: np.ndarray, mask: np.ndarray | tuple, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Best legal actions, or draws from the policy if ``rng`` is given.

        One observation (n_observation,) gives a scalar (or (n_component,)), a batch (n, n_observation) gives (n,) (or
        (n, n_component)). The mask of a multi-discrete space may be one array or a tuple of one per component.
        """
        joined = np.concatenate([np.asarray(part) for part in mask], axis=-1) if _in_parts(mask) else np.asarray(mask)
        single = np.ndim(observation) == 1
        logits = self.logits(np.atleast_2d(observation), np.atleast_2d(joined))
        if rng is not None:
            logits = logits + rng.gumbel(size=logits.shape)
        parts = np.split(logits, np.cumsum(self.components)[:-1], axis=1)
        chosen = np.stack([part.argmax(axis=1) for part in parts], axis=1)
        chosen = chosen if len(self.components) > 1 else chosen[:, 0]
        return chosen[0] if single else chosen

    def __call__(self, observation: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return self.act(observation, mask)


def load_policies(checkpoint: str | Path) -> dict[str, Policy]:
    """Module id -> policy of every trained module of an RLlib checkpoint (``algo.save_to_path(...)``).

    With independent policies the ids are the agents' names; a shared one is called ``zones``. Only arrays are read
    from the files: nothing in a checkpoint can run code here.

    Raises:
        FileNotFoundError: no checkpoint of an RLlib algorithm there.
        ValueError: a module that was not made by ``marlgrid.rllib``.
    """
    states = load_states(checkpoint)
    return {name: policy_from_state(state, f"{name} of {checkpoint}") for name, state in states.items()}


def load_states(checkpoint: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """Module id -> name -> array of every trained module of a checkpoint; raises as ``load_policies`` does."""
    root = Path(checkpoint) / MODULES
    files = sorted(root.glob("*/module_state.pkl"))
    if not files:
        raise FileNotFoundError(
            f"no RLlib checkpoint in {str(checkpoint)!r} (no {MODULES}/*/module_state.pkl): give the folder that "
            "algo.save_to_path(folder) wrote"
        )
    states = {}
    for file in files:
        with file.open("rb") as stream:
            state = _ArraysOnly(stream).load()
        if state:
            states[file.parent.name] = state
    return states


def fitting(given: Mapping[str, Mapping[str, Any]], own: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of ``given`` states by module id, those that ``own`` has, to be put in their place.

    Raises ValueError where one is missing or has other names or shapes.
    """
    found = {}
    for name, arrays in own.items():
        there = given.get(name, {})
        wrong = [key for key in arrays if key not in there or np.shape(there[key]) != np.shape(arrays[key])]
        if wrong:
            raise ValueError(
                f"the checkpoint to start from does not fit policy {name!r} in {wrong}: use one of the same case and "
                f"settings (it holds {sorted(given)})"
            )
        found[name] = {key: there[key] for key in arrays}
    return found


def save_policies(checkpoint: str | Path, states: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Writes module states where RLlib keeps them: ``load_policies`` reads both kinds of checkpoints alike.

    ``states``: module id -> name -> array, with the names of a ``MaskedModule``.
    """
    for name, state in states.items():
        folder = Path(checkpoint) / MODULES / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "module_state.pkl").open("wb") as stream:
            pickle.dump(dict(state), stream)


def policy_from_state(state: dict[str, np.ndarray], source: str = "module state") -> Policy:
    """The policy in the state of a ``MaskedModule``; an error names ``source``."""
    names = [name for name in state if name.startswith("actor.") and name.endswith(".weight")]
    if not names or "action_components" not in state:
        raise ValueError(
            f"{source} holds {sorted(state)}: not a module of marlgrid.rllib (no actor, action_components)"
        )
    names.sort(key=lambda name: int(name.split(".")[1]))
    weights = [np.asarray(state[name], dtype=np.float32) for name in names]
    biases = [np.asarray(state[name.replace("weight", "bias")], dtype=np.float32) for name in names]
    # standardising the observation and the first layer are both linear: one layer does both
    weights[0] = weights[0] / state["observation_std"]
    biases[0] = biases[0] - weights[0] @ state["observation_mean"]
    return Policy(
        weights=tuple(weights),
        biases=tuple(biases),
        components=tuple(int(n) for n in np.atleast_1d(state["action_components"])),
        act_above=float(state["act_above"]),
    )


def _in_parts(mask: Any) -> bool:
    return isinstance(mask, tuple)


class _ArraysOnly(pickle.Unpickler):
    """Reads dictionaries of arrays and refuses anything else."""

    ALLOWED = frozenset(
        {
            ("collections", "OrderedDict"),
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy._core.numeric", "_frombuffer"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy.core.numeric", "_frombuffer"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise ValueError(f"the checkpoint holds a {module}.{name} where only arrays are expected: not read")
        return super().find_class(module, name)
