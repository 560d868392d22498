"""The machine code that Triton makes of the counting kernels for Hopper; that needs no GPU."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

IDS, PLACES = "*i16", "*i32"
KERNELS: dict[str, tuple[dict[str, str], dict[str, Any], int]] = {
    "visits": (
        dict.fromkeys(["starts", "cursor", "visit_at", "visit_rest"], PLACES),
        {"WIDE": False, "PLACE": True, "TOKENS": 8, "LANES": 32},
        4,
    ),
    "walk": (
        dict.fromkeys(["visit_at", "visit_rest", "piece_latent", "piece_start", "latent_stop"], PLACES)
        | {"hot": "*i8", "counters": PLACES, "block_base": "i64"},
        {"WIDE": False, "HOT": True, "VISITS": 256, "LISTS": 16, "LANES": 32},
        4,
    ),
    "fill": (
        {"starts": PLACES, "hot_rank": PLACES, "tile": "*i8"},
        {"WIDE": False, "TOKENS": 8, "LANES": 32},
        4,
    ),
    "multiply": (
        {"tile": "*i8", "tile_i": PLACES, "tile_j": PLACES, "joint": PLACES},
        {"TILE": 128, "STEP": 128},
        8,
    ),
    "spread": (
        dict.fromkeys(["joint", "hot_ids", "counters"], PLACES) | {"block_base": "i64"},
        {"LANES": 128},
        4,
    ),
}


@pytest.mark.parametrize("name", KERNELS)
def test_machine_code_for_hopper(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from cofire.ingest.pairs import cuda_kernels as pairs_cuda_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    kernel = getattr(pairs_cuda_kernels, name)
    types, constants, warps = KERNELS[name]
    signature = {
        argument: "constexpr" if argument in constants else types.get(argument, IDS if argument == "ids" else "i32")
        for argument in kernel.arg_names
    }
    # As the launcher finds them: tensors aligned to 16 bytes, the tile's sizes multiples of 16.
    aligned = [
        place
        for place, (argument, kind) in enumerate(signature.items())
        if kind.startswith("*") or argument in ("stride", "width")
    ]
    made = triton.compile(
        ASTSource(kernel, signature, constants, {(place,): [["tt.divisibility", 16]] for place in aligned}),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": warps},
    )
    cubin = tmp_path / "kernel.cubin"
    cubin.write_bytes(made.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    done = subprocess.run(
        [tool, "--dump-sass", "--dump-resource-usage", cubin], capture_output=True, text=True, check=True
    )
    code = done.stdout
    # Nothing is spilled to memory.
    assert re.search(r"STACK:(\d+)", code).group(1) == "0"  # type: ignore[union-attr]
    assert "STL" not in code
    if name == "walk":
        # Additions that return nothing, done in L2; 16 programs of 4 warps fill a multiprocessor of 65,536 registers.
        assert "REDG.E.ADD" in code
        assert "ATOMG" not in code
        assert int(re.search(r"REG:(\d+)", code).group(1)) <= 32  # type: ignore[union-attr]
    if name == "multiply":
        # Hopper's own int8 matrix instructions, fed by asynchronous copies of 16 bytes.
        assert "IGMMA" in code
        assert "LDGSTS.E.BYPASS.128" in code
