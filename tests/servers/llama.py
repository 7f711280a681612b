"""llama.cpp's own server on 127.0.0.1, with the built-in decoder in 32-bit floats throughout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from embargo.models.bases.resolve import Base
from servers.gguf import write_gguf

F32 = 0


def llama_server(base: Base, folder: Path, *, name: str = "tiny-lm", n_parallel: int = 2, **params: Any) -> Any:
    """Start a server; it ends with the process, or when nobody holds it any more.

    Parameters
    ----------
    base : Base
        From `pretrain_tiny_lm`.
    folder : Path
        Where the model is written.
    name : str
        By which the server calls it.
    n_parallel : int
        Requests that it answers at once.
    **params
        Further settings of llama.cpp.

    Returns
    -------
    xllamacpp.Server
        With ``listening_address``.
    """
    xllamacpp = pytest.importorskip("xllamacpp")
    given = xllamacpp.CommonParams()
    given.model.path = str(write_gguf(base, folder / f"{name}.gguf"))
    given.model_alias = [name]
    given.n_ctx, given.n_parallel, given.warmup, given.use_jinja = 512 * n_parallel, n_parallel, False, True
    # By default keys and values are kept in half precision, which moves log-probabilities by some thousandths.
    given.cache_type_k = given.cache_type_v = F32
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = 1
    for key, value in params.items():
        setattr(given, key, value)
    return xllamacpp.Server(given)
