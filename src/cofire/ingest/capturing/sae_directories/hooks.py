"""Which hook point of TransformerBridge reads what a module of a Hugging Face model gives or is given.

Named by the module itself wherever the older names are ambiguous: `hook_mlp_out` is the module's output in some
architectures and that of the norm behind it in others.
"""

from __future__ import annotations

import re

# Modules of a layer -> (hook point of what it gives, of what it is given), as HF models call them.
_PARTS: dict[str, tuple[str, str | None]] = {
    "": ("hook_resid_post", "hook_resid_pre"),
    "mlp": ("mlp.hook_out", "mlp.hook_in"),
    "self_attn": ("attn.hook_out", None),
    "attn": ("attn.hook_out", None),
    "attention": ("attn.hook_out", None),
    "post_feedforward_layernorm": ("ln2_post.hook_out", None),
}
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)[._](\d+)(?:\.(\w+))?$")
_BRIDGE = re.compile(r"^(blocks\.\d+\.(\w+\.)*)?hook_\w+$")
# `resid_post_layer_12`, `resid_out_layer3`, `mlp_out_layer_0`, `attention_out_layer_5` of dictionary_learning.
_SITE = re.compile(r"(resid_post|resid_out|resid_pre|mlp_out|attn_out|attention_out)_?layer_?(\d+)")
_SITES = {
    "resid_post": "hook_resid_post",
    "resid_out": "hook_resid_post",
    "resid_pre": "hook_resid_pre",
    "mlp_out": "mlp.hook_out",
    "attn_out": "attn.hook_out",
    "attention_out": "attn.hook_out",
}


def hook_of_module(name: str, *, given: bool = False) -> str | None:
    """Return the hook point of a module's output (with `given`: of its input), None where it is not known.

    Args:
        name: such as `layers.3`, `model.layers.3.mlp`, `transformer.h.3.attn`, `gpt_neox.layers.3.attention`.
        given: what the module is given.
    """
    if name in ("embed_tokens", "wte", "embed_in"):
        return None if given else "hook_embed"
    found = _LAYER.search(name)
    if found is None or (found[2] or "") not in _PARTS:
        return None
    hook = _PARTS[found[2] or ""][int(given)]
    return None if hook is None else f"blocks.{found[1]}.{hook}"


def hook_of_site(name: str) -> str | None:
    """Return the hook point that a name of dictionary_learning's says, or a module's or hook point's own name."""
    found = _SITE.search(name)
    if found is not None:
        return f"blocks.{found[2]}.{_SITES[found[1]]}"
    return name if _BRIDGE.match(name) else hook_of_module(name)


def layer_of(hook: str) -> int | None:
    """Return the number of the layer of a hook point, None where it has none."""
    found = re.match(r"blocks\.(\d+)\.", hook)
    return None if found is None else int(found[1])
