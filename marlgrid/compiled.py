"""How kernels are compiled, in one place.

Compiled code is kept on disk (next to the module, or in numba's own cache folder where that is not writable), and made
anew when the file of the kernel changes. It includes the kernels that it calls, so these must stand in the same file.
"""

from __future__ import annotations

from numba import njit

kernel = njit(cache=True, nogil=True)
"""A kernel called from Python, or one that makes arrays."""

rule = njit(cache=True, nogil=True, _nrt=False, forceinline=True)
"""A part of a kernel that makes no array of its own, put in the place of its call. Counting references to the arrays
it is handed would take longer than the rule itself (measured on the judge of actions: 9 times, and twice for the call).
"""

arithmetic = njit(
    cache=True, nogil=True, _nrt=False, forceinline=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"}
)
"""A rule of floating-point numbers: a product and a sum may be rounded once, a division by zero is infinite."""
