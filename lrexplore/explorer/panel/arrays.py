"""Arrays as the browser reads them: raw little-endian bytes beside their dtype and shape.

A widget trait sends nested `bytes` as binary frames, so a packed array costs its own size on the wire and no JSON.
"""

import numpy as np

DTYPES = ("float32", "int32", "uint8", "uint16")
MISSING = 65535


def pack(values, dtype: str | None = None) -> dict:
    """Packed form of an array: {"buffer", "dtype", "shape"}, and "scale" and "offset" for quantized reals.

    Reals become float32, integers and booleans int32, uint8 stays; `dtype` overrides this. Reals packed as "uint16"
    are quantized over their finite range in 65535 steps (value = offset + scale * raw), at half the bytes of float32;
    65535 stands for whatever is not finite.

    Raises ValueError for a dtype that the browser does not read or values that are no numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"`values` must be real numbers, got dtype {array.dtype}. Convert them, or send text as a list of strings."
        )
    if dtype is None:
        dtype = "float32" if array.dtype.kind == "f" else "uint8" if array.dtype == np.uint8 else "int32"
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(DTYPES)}, got {dtype!r}. Leave it out to have it chosen.")
    if dtype == "uint16" and array.dtype.kind == "f":
        return _quantize(array)
    return _packed(array, dtype)


def unpack(packed: dict) -> np.ndarray:
    """Array that `pack` was given: float32 where the values were quantized, else of the packed dtype."""
    raw = np.frombuffer(packed["buffer"], dtype=np.dtype(packed["dtype"]).newbyteorder("<"))
    raw = raw.reshape(packed["shape"])
    if "scale" not in packed:
        return raw.astype(packed["dtype"])
    values = packed["offset"] + packed["scale"] * raw.astype(np.float64)
    return np.where(raw == MISSING, np.nan, values).astype(np.float32)


def is_packed(value) -> bool:
    """Whether a value has the form that `pack` returns."""
    return isinstance(value, dict) and {"buffer", "dtype", "shape"} <= value.keys()


def _packed(array: np.ndarray, dtype: str, **more) -> dict:
    shape = list(array.shape)
    little_endian = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
    return {"buffer": little_endian.tobytes(), "dtype": dtype, "shape": shape, **more}


def _quantize(array: np.ndarray) -> dict:
    array = array.astype(np.float64)
    finite = np.isfinite(array)
    low = float(array[finite].min()) if finite.any() else 0.0
    high = float(array[finite].max()) if finite.any() else 0.0
    scale = (high - low) / (MISSING - 1)
    raw = np.full(array.shape, MISSING, dtype=np.uint16)
    raw[finite] = np.rint((array[finite] - low) / scale) if scale > 0 else 0
    return _packed(raw, "uint16", scale=scale, offset=low)
