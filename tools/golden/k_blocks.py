"""GGUF's K types, written: the gguf package reads them and writes none. Rounding is plain; what the blocks then say is
what counts."""

import gguf
import numpy as np

COLUMNS = 256
GROUPS = {"Q2_K": 16, "Q3_K": 16, "Q4_K": 8, "Q5_K": 8, "Q6_K": 16}
BITS = {"Q2_K": 2, "Q3_K": 3, "Q4_K": 4, "Q5_K": 5, "Q6_K": 6}
LARGEST = {"Q2_K": 15, "Q3_K": 31, "Q4_K": 63, "Q5_K": 63, "Q6_K": 127}  # of a group's integers
ZERO = {"Q3_K": 4, "Q6_K": 32}  # of those without mins


def _f16(values):
    return values.astype(np.float16).astype(np.float32)


def _integers(values, largest):
    """(factor of each block as f16 holds it, each group's multiple of it)."""
    factor = _f16(np.abs(values).max(axis=1, keepdims=True) / largest)
    return factor, np.rint(np.divide(values, factor, out=np.zeros_like(values), where=factor != 0))


def _round(w, name):
    """w [blocks, groups, columns of one] -> codes, d, sc, dmin, m."""
    most = 2 ** BITS[name] - 1
    if name in ZERO:
        extreme = np.take_along_axis(w, np.abs(w).argmax(axis=2, keepdims=True), 2)[..., 0]
        d, sc = _integers(extreme / -ZERO[name], LARGEST[name])  # of either sign
        dmin, m, offset = None, None, ZERO[name]
    else:
        low = np.minimum(w.min(axis=2), 0)
        d, sc = _integers((w.max(axis=2) - low) / most, LARGEST[name])
        dmin, m = _integers(-low, LARGEST[name])
        offset = 0
        w = w + (dmin * m)[..., None]
    scale = (d * sc)[..., None]
    codes = np.rint(np.divide(w, scale, out=np.zeros_like(w), where=scale != 0)) + offset
    return np.clip(codes, 0, most).astype(np.uint8).reshape(-1, COLUMNS), d, sc, dmin, m


def _fields(codes, run, width):
    """Bytes of 8 / width codes each, which lie `run` columns apart."""
    parts = codes.reshape(len(codes), -1, 8 // width, run)
    shifts = np.arange(0, 8, width, dtype=np.uint8)[:, None]
    return np.bitwise_or.reduce(parts << shifts, axis=2).reshape(len(codes), -1)


def _sixes_of_3(sc):
    s = (sc + 32).astype(np.uint8)
    high = [np.bitwise_or.reduce([s[:, i + 4 * k] >> 4 << 2 * k for k in range(4)]) for i in range(4)]
    return np.concatenate([s[:, :8] & 15 | (s[:, 8:] & 15) << 4, np.stack(high, axis=1)], axis=1)


def _sixes_of_4(sc, m):
    sc, m = sc.astype(np.uint8), m.astype(np.uint8)
    return np.concatenate([
        sc[:, :4] | sc[:, 4:] >> 4 << 6, m[:, :4] | m[:, 4:] >> 4 << 6, sc[:, 4:] & 15 | (m[:, 4:] & 15) << 4
    ], axis=1)


def _half(values):
    return values.astype(np.float16).view(np.uint8)


def quantize(values, name):
    """[rows, columns] float32 -> [rows, bytes]."""
    w = values.astype(np.float32).reshape(-1, GROUPS[name], COLUMNS // GROUPS[name])
    codes, d, sc, dmin, m = _round(w, name)
    if name == "Q2_K":
        parts = [sc.astype(np.uint8) | m.astype(np.uint8) << 4, _fields(codes, 32, 2), _half(d), _half(dmin)]
    elif name == "Q3_K":
        parts = [_fields(codes >> 2, 32, 1), _fields(codes & 3, 32, 2), _sixes_of_3(sc), _half(d)]
    elif name == "Q6_K":
        parts = [_fields(codes & 15, 64, 4), _fields(codes >> 4, 32, 2), sc.astype(np.int8).view(np.uint8), _half(d)]
    else:
        high = [_fields(codes >> 4, 32, 1)] if name == "Q5_K" else []
        parts = [_half(d), _half(dmin), _sixes_of_4(sc, m), *high, _fields(codes & 15, 32, 4)]
    blocks = np.concatenate(parts, axis=1).reshape(len(values), -1)
    _check(blocks, w, (d * sc)[..., None], name)
    return blocks


def _check(blocks, w, scale, name):
    """What the gguf package reads is near what was written: within half a code, or one where there is one less above
    zero than below, and what a group's rounded integer makes."""
    read = gguf.dequantize(blocks, gguf.GGMLQuantizationType[name]).reshape(w.shape)
    bound = np.abs(scale) * (1.01 if name in ZERO else 0.51) + np.abs(w).max(axis=(1, 2), keepdims=True) * (2.0 / LARGEST[name])
    assert (np.abs(read - w) <= bound).all(), name
