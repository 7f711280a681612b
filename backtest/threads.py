"""How many threads the compiled loops of a backtest share: as many as numba was told, by default one per core.

Import it where it is used, not at the top of a module: the compiler takes a second to load.
"""

from __future__ import annotations

import numba as nb

# From numba's settings: numba.get_num_threads() starts OpenMP with all cores, for torch too, despite OMP_NUM_THREADS.
THREADS = int(vars(nb.config)["NUMBA_NUM_THREADS"])
