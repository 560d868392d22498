"""The capture directory: what lies in it, and how it is read and written."""

from __future__ import annotations

from cofire.ingest.capture_dir.directory import CaptureDir, find_captures
from cofire.ingest.capture_dir.shard import Shard

__all__ = ["CaptureDir", "Shard", "find_captures"]
