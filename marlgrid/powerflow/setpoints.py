"""What AC solvers begin with: the voltage that generators hold at each bus, and the first guess."""

from __future__ import annotations

import numpy as np

from marlgrid.compiled import kernel


@kernel
def set_points(buses, first, gen_v, vn_kv, slack, regulates, out) -> None:
    """One voltage per bus: that of the slack generator, else of the first that regulates it."""
    n_env, n_gen = gen_v.shape
    for env in range(n_env):
        for i in range(n_gen):
            out[env, i] = 1.0
            if not regulates[i]:
                continue
            leader = i
            bus = buses[env, first + i]
            if bus >= 0:
                for j in range(i):
                    if regulates[j] and buses[env, first + j] == bus:
                        leader = j
                        break
                if buses[env, first + slack] == bus:
                    leader = slack
            out[env, i] = gen_v[env, leader] / vn_kv[leader]


@kernel
def first_guess(buses, slack, start, n_sub, guess, warm) -> None:
    """A previous solution, turned so that the slack's angle is zero; a busbar new in use takes its sibling's."""
    n_env, n_bus = start.shape
    for env in range(n_env):
        warm[env] = False
        for bus in range(n_bus):
            guess[env, bus] = start[env, bus]
            warm[env] |= start[env, bus] != 0
        for bus in range(n_bus):
            sibling = bus % n_sub
            while guess[env, bus] == 0 and sibling < n_bus:
                guess[env, bus] = start[env, sibling]
                sibling += n_sub
            if guess[env, bus] == 0:
                guess[env, bus] = 1.0
        reference = guess[env, buses[env, slack]] if buses[env, slack] >= 0 else 1.0 + 0j
        if reference.imag != 0:
            for bus in range(n_bus):
                guess[env, bus] *= np.conj(reference) / abs(reference)
