"""Compiling loops with numba, and what plain Python has no word for: prefetching, and bits of a 64-bit word."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def _sources() -> str:
    """Return a hash of those of cofire's files that compile something.

    Compiled code holds what it calls from other files, and numba itself looks at the caller's file alone.
    """
    texts = (file.read_bytes() for file in sorted(Path(__file__).parents[1].rglob("*.py")))
    return hashlib.sha256(b"".join(text for text in texts if b"compiled" in text)).hexdigest()


class _Cache(FunctionCache):
    """Keeps what was compiled where that can be kept; a disk that is full stops no count."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), _sources())  # type: ignore[no-untyped-call]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(OSError):
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def compiled(function: Function) -> Function:
    """Compile with numba; a plain decorator so that types survive it.

    What was compiled is kept beside the code or in the user's cache directory, or where neither can be written (a
    read-only image, a user without a home) in a temporary directory of the user; else it is compiled in each process.
    """
    made: Any = numba.njit(nogil=True)(function)
    settings: Any = numba.config
    try:
        made._cache = _Cache(function)  # type: ignore[no-untyped-call]
    except RuntimeError:  # numba found no place
        settings.CACHE_DIR = _temporary()
        with suppress(RuntimeError):
            made._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return cast(Function, made)


def _temporary() -> str:
    """Return a directory under the temporary one that is this user's alone; "" where there is none.

    What lies there is run: a directory that another user made or may write is not taken.
    """
    try:
        place = Path(tempfile.gettempdir()) / f"cofire-numba-{os.geteuid()}"
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError:
        return ""
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return str(place) if own else ""


def _prefetch(_context: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index], index int64; one past the end does no harm."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch.p0", fnty=kind)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        # For reading, into every cache, data.
        builder.call(function, [address, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, index), generate


prefetch: Any = intrinsic(_prefetch)


@compiled
def ones(word: Any) -> Any:
    """Count the bits that are set in a uint64."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def lowest(word: Any) -> Any:
    """Return the number of the lowest bit that is set."""
    return ones((word & (~word + np.uint64(1))) - np.uint64(1))
