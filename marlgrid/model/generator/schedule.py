"""Who produces what: units in merit order inside limits and ramps, so that production meets load and losses."""

from __future__ import annotations

import numpy as np
from numba import njit

PRICE_SLOPE = 0.3
"""The first MW of a unit costs this share less than its mean, the last one this share more: units blend in."""
N_BISECTION = 50
N_NEWTON = 12
CLOSE = 1e-14
"""Relative: where Newton's steps end, and how far from there is looked for the price on either side."""


@njit(cache=True)
def merit_order(demand, available, pmin, pmax, ramp_up, ramp_down, price):  # noqa: ANN201
    """Production (n_row, n_gen) MW that meets ``demand`` (n_row,) MW, losses included, wherever limits allow.

    ``available`` (n_row, n_gen) is the wind and sun of renewable units; a negative entry marks a unit that can be
    dispatched, between ``pmin`` and ``pmax`` (n_row, n_gen), at ``price`` (n_row, n_gen) per MW, and by no more than
    its ramps (n_gen,) MW a row. What renewables produce beyond demand less the least that the others may produce is
    spilled, the same share at each of them.
    """
    n_row, n_gen = available.shape
    power = np.zeros((n_row, n_gen))
    low = np.zeros(n_gen)
    high = np.zeros(n_gen)
    marginal = price[0].max()
    for row in range(n_row):
        renewable = 0.0
        least = 0.0
        for gen in range(n_gen):
            if available[row, gen] >= 0.0:
                renewable += available[row, gen]
                low[gen], high[gen] = 0.0, 0.0
                continue
            low[gen], high[gen] = pmin[row, gen], pmax[row, gen]
            if row > 0:
                # A limit that moves faster than the ramp is reached at the ramp.
                before = power[row - 1, gen]
                low[gen] = min(max(low[gen], before - ramp_down[gen]), before + ramp_up[gen])
                high[gen] = max(min(high[gen], before + ramp_up[gen]), low[gen])
            least += low[gen]
        kept = min(1.0, max(0.0, demand[row] - least) / renewable) if renewable > 0.0 else 0.0
        need = demand[row] - kept * renewable
        marginal = _share(need, price[row], low, high, pmax[row], power[row], marginal)
        for gen in range(n_gen):
            if available[row, gen] >= 0.0:
                power[row, gen] = kept * available[row, gen]
    return power


@njit(cache=True)
def _share(need, price, low, high, pmax, power, guess):
    """Fills ``power`` (n_gen,) so that its sum is ``need`` at one marginal price, each entry in [low, high].

    The price is halved in on as if nothing else were known, but few of the halves are tried: Newton's steps from a
    ``guess`` tell beforehand below which price too little is supplied, and above which enough. Returns the price.
    """
    too_low, enough = -np.inf, np.inf
    marginal = guess
    for _ in range(N_NEWTON):
        missing, slope = _missing(need, marginal, price, low, high, pmax)
        if missing > 0.0:
            too_low = max(too_low, marginal)
        else:
            enough = min(enough, marginal)
        step = missing / slope if slope > 0.0 else 0.0
        if abs(step) <= CLOSE * marginal:
            break
        marginal += step
    for near in (marginal * (1.0 - CLOSE), marginal * (1.0 + CLOSE)):
        if _missing(need, near, price, low, high, pmax)[0] > 0.0:
            too_low = max(too_low, near)
        else:
            enough = min(enough, near)
    cheap, dear = 0.0, 2.0 * price.max() * (1.0 + PRICE_SLOPE)
    for _ in range(N_BISECTION):
        marginal = 0.5 * (cheap + dear)
        known = marginal <= too_low or marginal >= enough
        short = marginal <= too_low if known else _missing(need, marginal, price, low, high, pmax)[0] > 0.0
        if short:
            cheap = marginal
        else:
            dear = marginal
    for gen in range(len(power)):
        power[gen] = _supply(dear, price[gen], low[gen], high[gen], pmax[gen])
    return dear


@njit(cache=True)
def _missing(need, marginal, price, low, high, pmax):
    """What is supplied too little at a marginal price, and how much more is supplied per unit of price."""
    total = slope = 0.0
    for gen in range(len(price)):
        supplied = _supply(marginal, price[gen], low[gen], high[gen], pmax[gen])
        total += supplied
        if low[gen] < supplied < high[gen]:
            slope += pmax[gen] / (price[gen] * 2.0 * PRICE_SLOPE)
    return need - total, slope


@njit(cache=True, inline="always")
def _supply(marginal, price, low, high, pmax):
    wanted = pmax * (marginal / price - 1.0 + PRICE_SLOPE) / (2.0 * PRICE_SLOPE)
    return min(max(wanted, low), high)


@njit(cache=True)
def forecast_errors(  # noqa: ANN201
    load_p, load_q, gen_p, gen_now, load_error, gen_error, dispatchable, pmin, pmax, up, down, losses
):
    """Turns true rows into forecast ones, in place: loads and renewables err, units follow in proportion to their room.

    All (n_env, n); the errors are shares of the true value; ``gen_now`` is what is produced at the time of the
    forecast, ``up`` and ``down`` (n_gen,) MW are the ramps over the horizon. ``losses`` is the share of the load that
    is lost. What the units cannot follow is left to the slack generator if missing, spilled if in excess.
    """
    n_env, n_gen = gen_p.shape
    for env in range(n_env):
        missing = 0.0
        for load in range(load_p.shape[1]):
            factor = max(0.0, 1.0 + load_error[env, load])
            missing += (factor - 1.0) * load_p[env, load] * (1.0 + losses)
            load_p[env, load] *= factor
            load_q[env, load] *= factor
        renewable = 0.0
        above, below = 0.0, 0.0
        for gen in range(n_gen):
            if dispatchable[gen]:
                above += max(0.0, min(pmax[gen], gen_now[env, gen] + up[gen]) - gen_p[env, gen])
                below += max(0.0, gen_p[env, gen] - max(pmin[gen], gen_now[env, gen] - down[gen]))
            else:
                expected = min(max(gen_p[env, gen] * (1.0 + gen_error[env, gen]), 0.0), pmax[gen])
                missing -= expected - gen_p[env, gen]
                gen_p[env, gen] = expected
                renewable += expected
        rise = min(1.0, missing / above) if missing > 0.0 and above > 0.0 else 0.0
        fall = min(1.0, -missing / below) if missing < 0.0 and below > 0.0 else 0.0
        spill = min(1.0, (-missing - below) / renewable) if -missing > below and renewable > 0.0 else 0.0
        for gen in range(n_gen):
            if dispatchable[gen]:
                top = min(pmax[gen], gen_now[env, gen] + up[gen])
                bottom = max(pmin[gen], gen_now[env, gen] - down[gen])
                gen_p[env, gen] += rise * max(0.0, top - gen_p[env, gen])
                gen_p[env, gen] -= fall * max(0.0, gen_p[env, gen] - bottom)
            else:
                gen_p[env, gen] *= 1.0 - spill
