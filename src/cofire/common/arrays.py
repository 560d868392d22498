"""The types of arrays, by what an element is; shapes stand in the docstrings of what takes and gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Halves = npt.NDArray[np.float16]
Ints = npt.NDArray[np.int64]
Ints32 = npt.NDArray[np.int32]
Singles = npt.NDArray[np.float32]
