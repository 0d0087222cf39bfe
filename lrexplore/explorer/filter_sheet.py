"""The filters of a first convolution as one picture."""

import numpy as np

MAX_FILTERS = 36


def filter_sheet(kernel: np.ndarray, reach: float) -> np.ndarray:
    """A sheet (H, W, 3) uint8 of the first filters of a kernel (filters, 1 or 3, k_h, k_w), gray level 128 for zero.

    `reach` is the largest magnitude, one scale for all.
    """
    tiles = np.clip(kernel / reach * 127 + 128, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    tiles = np.broadcast_to(tiles, (*tiles.shape[:3], 3))[:MAX_FILTERS]
    columns = int(np.ceil(len(tiles) ** 0.5))
    rows = -(-len(tiles) // columns)
    height, width = tiles.shape[1:3]
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 128, dtype=np.uint8)
    for i, tile in enumerate(tiles):
        top, left = 1 + i // columns * (height + 1), 1 + i % columns * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    return sheet
