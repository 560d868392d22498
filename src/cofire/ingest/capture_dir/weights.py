"""`weights.safetensors`: the SAE's weights, each tensor read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cofire.common.arrays import Singles
from cofire.common.files import unreadable


class Weights(Mapping[str, Singles]):
    """The tensors of a capture by name; none where there is no file.

    W_enc [d, N], W_dec [N, d], b_dec [d], and b_enc, threshold, r_mag, b_mag [N], as far as the SAE has them; float32.
    Each access reads the tensor anew: keep what is needed twice.

    Raises:
        CaptureError: the file is damaged; also from each access.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: tuple[str, ...] = tuple(self._read(lambda file: file.keys())) if path.is_file() else ()

    def __getitem__(self, name: str) -> Singles:
        if name not in self._names:
            raise KeyError(name)
        tensor: Singles = self._read(lambda file: file.get_tensor(name))
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, which is not read."""
        return tuple(self._read(lambda file: file.get_slice(name).get_shape()))

    def rows(self, name: str, start: int, stop: int) -> Singles:
        """Return rows `start` to `stop` (not included) of a tensor; no others are read."""
        tensor: Singles = self._read(lambda file: file.get_slice(name)[start:stop])
        return tensor

    def _read(self, what: Any) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._path, framework="numpy") as file:
                return what(file)
        except (SafetensorError, OSError) as error:
            raise unreadable(self._path, error) from error
