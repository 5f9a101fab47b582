"""What the sensors get wrong: noise on what is measured, of Grid2Op's kind or of one's own.

Draws follow from the episode's seed and the step alone: whoever looks at a quantity sees the same error of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

from marlgrid import seeding
from marlgrid.model.system import System
from marlgrid.task.sensors import sensors

STREAM_NOISE = 301
STREAM_FORESEEN = 302
"""Of a simulated observation: it must not give away the errors to come."""

SHARED = {"rho": "a_or", "prod_p": "gen_p", "prod_q": "gen_q", "prod_v": "gen_v"}
"""Attributes that are computed from a measurement, and bear its error."""


@dataclass(frozen=True)
class SensorNoise:
    """Grid2Op's noise and its standard deviations: a lognormal factor on loads, generators and currents (rho bears the
    error of a_or), and a normal error in MW or MVAr on the flows of lines and the power of storages."""

    sigma_load_p: float = 0.01
    sigma_load_q: float = 0.01
    sigma_gen_p: float = 0.01
    sigma_gen_q: float = 0.01
    sigma_a: float = 0.01
    sigma_p: float = 0.1
    sigma_q: float = 0.1
    sigma_storage: float = 0.1

    def __post_init__(self) -> None:
        wrong = {name: sigma for name, sigma in asdict(self).items() if not 0 <= sigma < np.inf}
        if wrong:
            raise ValueError(f"noise {wrong}: give standard deviations of at least 0")


SIGMAS = tuple(field.name for field in fields(SensorNoise))

NoiseSpec = SensorNoise | str | float | Mapping[str, float] | None


class Noise:
    """Standard deviations of every measured attribute of one system, and where its errors stand among the draws."""

    def __init__(self, system: System, factor: Mapping[str, float], added: Mapping[str, np.ndarray]) -> None:
        """``factor`` is of the logarithm; ``added`` (n_element,) in the unit of the attribute."""
        self.factor, self.added = dict(factor), dict(added)
        measured = [name for name, sensor in sensors(system, True).items() if sensor.measured and name not in SHARED]
        sizes = [len(sensors(system, True)[name].pick) for name in measured]
        ends = np.cumsum(sizes)
        self.n_draw = int(ends[-1])
        self._columns = {
            name: slice(int(end) - size, int(end)) for name, size, end in zip(measured, sizes, ends, strict=True)
        }

    def columns(self, name: str) -> slice:
        """Where the errors of a measured attribute stand among the draws."""
        return self._columns[SHARED.get(name, name)]

    def draws(self, seed: np.ndarray, t: np.ndarray, stream: int = STREAM_NOISE) -> np.ndarray:
        """(n_env, n_draw) standard normal."""
        return seeding.normal(seed, t, stream, self.n_draw)

    def measured(self, name: str, value: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """What the sensors make of the true value (n_element,), given a row of draws; exact where there is no noise."""
        source = name if name in self.factor or name in self.added else SHARED.get(name, name)
        if source not in self.factor and source not in self.added:
            return value
        error = draws[self.columns(source)]
        return value * np.exp(self.factor.get(source, 0.0) * error) + self.added.get(source, 0.0) * error


def noise_from(spec: NoiseSpec | Noise, system: System) -> Noise | None:
    """Noise out of ``"grid2op"`` or ``SensorNoise`` (or a dict of some of its sigmas), or out of a number: the standard
    deviation of a normal error in normalised units, for all that is measured or in a dict by attribute. None: none.

    Raises ValueError for what is not measured and for negative levels.
    """
    if spec is None or isinstance(spec, Noise):
        return spec
    if spec == "grid2op" or (isinstance(spec, Mapping) and spec and set(spec) <= set(SIGMAS)):
        spec = SensorNoise(**spec) if isinstance(spec, Mapping) else SensorNoise()
    known = sensors(system, True)
    names = [name for name, sensor in known.items() if sensor.measured]
    if isinstance(spec, SensorNoise):
        return Noise(system, *_as_in_grid2op(spec, {name: len(known[name].pick) for name in names}))
    if isinstance(spec, str):
        raise ValueError(f"unknown noise {spec!r}; give 'grid2op', a level, or levels of {names} or {list(SIGMAS)}")
    levels = dict(spec) if isinstance(spec, Mapping) else dict.fromkeys(names, float(spec))
    wrong = sorted(set(levels) - set(names))
    if wrong or any(not 0 <= level < np.inf for level in levels.values()):
        raise ValueError(f"noise {spec!r}: give levels of at least 0, for attributes out of {names} or {list(SIGMAS)}")
    added = {name: level * np.broadcast_to(known[name].unit, len(known[name].pick)) for name, level in levels.items()}
    return Noise(system, {}, added)


def _as_in_grid2op(spec: SensorNoise, size: Mapping[str, int]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    factor = {name: getattr(spec, f"sigma_{name}") for name in ("load_p", "load_q", "gen_p", "gen_q")}
    factor |= dict.fromkeys(("a_or", "a_ex", "rho"), spec.sigma_a)
    added = dict.fromkeys(("p_or", "p_ex"), spec.sigma_p) | dict.fromkeys(("q_or", "q_ex"), spec.sigma_q)
    added["storage_power"] = spec.sigma_storage
    return factor, {name: np.full(size[name], sigma) for name, sigma in added.items()}
