"""The processes of a data-parallel training: how many there are, which one this is, and what they tell each other.

They are those that ``torchrun`` or ``accelerate launch`` started, one per GPU. Where nobody started several there is
one, and nothing here touches a network.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from embargo.data_loaders.errors import ConfigError

# Numbers of each vector that are fetched from all processes at once: bounds memory, and moves no sum.
GATHERED_AT_ONCE = 2**22


def count() -> int:
    """Return the number of processes that train together."""
    return int(_joined().num_processes) if _launched() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(_joined().process_index) if _launched() else 0


def is_main() -> bool:
    """Return whether this is the process that writes files and speaks to the user."""
    return rank() == 0


def local_rank() -> int:
    """Return the number of this process among those of its machine: the GPU it works on."""
    return int(os.environ["LOCAL_RANK"]) if _launched() else 0


def wait() -> None:
    """Wait until every process has come this far."""
    if count() > 1:
        _joined().wait_for_everyone()


def share_of(rows: np.ndarray) -> np.ndarray:
    """Return the rows of a batch that this process takes: every n-th, so that lengths are spread evenly."""
    return rows if count() == 1 else rows[rank() :: count()]


def own_shares(shares: int) -> range:
    """Return the numbers of the shares of a step that this process takes: equally many, in the order of ranks."""
    own = shares // count()
    return range(rank() * own, (rank() + 1) * own)


def blocks_of(rows: np.ndarray, size: int) -> np.ndarray:
    """Return the rows that this process takes in blocks of a size: every n-th block, the same whoever takes it."""
    blocks = [rows[start : start + size] for start in range(0, len(rows), size)]
    return np.concatenate([rows[:0], *blocks[rank() :: count()]])


def add_up(tensors: Sequence[Any]) -> None:
    """Replace each tensor by its sum over all processes; all must be of one type."""
    if count() == 1 or not tensors:
        return
    import torch

    together = torch.cat([tensor.reshape(-1) for tensor in tensors])
    torch.distributed.all_reduce(together)
    _split(together, tensors)


def add_in_order(vectors: Sequence[Any]) -> Any:
    """Return the sum of the vectors of all processes, one after the other in the order of ranks.

    Each process gives as many, of one length and type, and gets the same bits, whatever the number of processes.
    """
    import torch

    own = torch.stack(list(vectors))
    total = torch.empty_like(own[0])
    for start in range(0, len(total), GATHERED_AT_ONCE):
        place = slice(start, start + GATHERED_AT_ONCE)
        every = [own[:, place].contiguous()]
        if count() > 1:
            every = [torch.empty_like(every[0]) for _ in range(count())]
            torch.distributed.all_gather(every, own[:, place].contiguous())
        first, *others = torch.cat(every)
        total[place] = first
        for other in others:
            total[place] += other
    return total


def take_from_main(tensors: Sequence[Any]) -> None:
    """Replace each tensor by that of the main process; all must be of one type."""
    if count() == 1 or not tensors:
        return
    import torch

    together = torch.cat([tensor.reshape(-1) for tensor in tensors])
    torch.distributed.broadcast(together, 0)
    _split(together, tensors)


def told_by_main(numbers: Sequence[int]) -> list[int]:
    """Return the whole numbers that the main process gave; every process gives as many."""
    if count() == 1:
        return list(numbers)
    import torch

    told = torch.tensor(list(numbers), dtype=torch.int64, device=_joined().device)
    torch.distributed.broadcast(told, 0)
    return [int(number) for number in told.tolist()]


def check_shares(shares: int | None) -> None:
    """Raise unless this many shares of a step can be dealt out evenly to the processes.

    Raises
    ------
    ConfigError
    """
    if shares is not None and shares % count():
        raise ConfigError(
            f"tuning.shares is {shares}, which {count()} processes cannot share evenly. Start as many as divide it, or "
            f"set it to a multiple of {count()}, which is another training."
        )


def _split(together: Any, tensors: Sequence[Any]) -> None:
    start = 0
    for tensor in tensors:
        tensor.copy_(together[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()


def _launched() -> bool:
    wanted = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")
    return all(name in os.environ for name in wanted) and int(os.environ["WORLD_SIZE"]) > 1


@cache
def _joined() -> Any:
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    atexit.register(state.destroy_process_group)
    return state
