"""Which images are nearly the same: one photograph scaled, compressed again, or saved twice."""

import hashlib

import numpy as np
from PIL import Image

_SIDE, _NEAR, _FLAT = 16, 26, 4.0


class NearDuplicates:
    """Gives every image the number of the first one that it nearly equals, or a new number.

    By signs of differences between neighbours in a picture of 17 x 16 gray pixels (a "difference hash"): 256 bits, of
    which near images share all but 26 at most, and photographs of their own about half. Images without contrast have
    no such signs; of these only equal ones are the same.
    """

    def __init__(self):
        self._known: dict[bytes, int] = {}
        self._hashes = np.empty((0, _SIDE * _SIDE), dtype=bool)
        self._numbers: list[int] = []
        self._count = 0

    def __call__(self, image: Image.Image) -> int:
        small = image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX)
        gray = np.asarray(small, dtype=np.int16)
        if gray.std() < _FLAT:
            return self._number(hashlib.sha256(image.tobytes()).digest())
        bits = (gray[:, 1:] > gray[:, :-1]).ravel()
        distances = (self._hashes != bits).sum(1)
        if len(distances) and distances.min() <= _NEAR:
            return self._numbers[int(distances.argmin())]
        self._hashes = np.concatenate([self._hashes, bits[None]])
        self._numbers.append(self._number(bits.tobytes()))
        return self._numbers[-1]

    def _number(self, key: bytes) -> int:
        if key not in self._known:
            self._known[key] = self._count
            self._count += 1
        return self._known[key]
