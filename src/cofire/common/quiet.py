"""Keeping the chatter of the model libraries away from the user's terminal.

sae-lens, transformer-lens and transformers warn at import (deprecations of each other), log through the root logger
and draw progress bars on stderr. None of it is about what the user did: what goes wrong there arrives as an exception.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Drop warnings, log records up to ERROR and progress bars of what runs inside; let errors through.

    Imports huggingface_hub and transformers, so it belongs only around code that uses them anyway.
    """
    root = logging.getLogger()
    handlers, disabled = root.handlers[:], root.manager.disable
    logging.disable(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from huggingface_hub.utils.tqdm import (
            are_progress_bars_disabled,
            disable_progress_bars,
            enable_progress_bars,
        )
        from transformers.utils import logging as transformers_logging

        hub_bars = not are_progress_bars_disabled()
        model_bars = transformers_logging.is_progress_bar_enabled()
        if hub_bars:
            disable_progress_bars()
        if model_bars:
            transformers_logging.disable_progress_bar()
        try:
            yield
        finally:
            if hub_bars:
                enable_progress_bars()
            if model_bars:
                transformers_logging.enable_progress_bar()
            logging.disable(disabled)
            # logging.warning() on the root logger gives it a handler for good.
            root.handlers[:] = handlers
