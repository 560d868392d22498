"""How much the tests that look for rare moments try: little in the suite, much in `scripts/soak`, which sets these."""

from __future__ import annotations

import os

KILLS = int(os.environ.get("COFIRE_TEST_KILLS", "3"))
"""Kills of each job."""

RESTARTS = int(os.environ.get("COFIRE_TEST_RESTARTS", "1"))
"""Restarts of each store's server."""

ROUND = int(os.environ.get("COFIRE_TEST_ROUND", "0"))
"""Each round has moments and worlds of its own."""

WORLDS = int(os.environ.get("COFIRE_TEST_WORLDS", "8"))
"""Random graphs that both stores and the oracle are asked of."""

INPUTS = int(os.environ.get("COFIRE_TEST_INPUTS", "20"))
"""Odd command lines and files."""


def seed_of(number: int) -> int:
    """A test's own seed in this round."""
    return number + 1000 * ROUND
