"""Draw a sheet of a dataset's images, a row for each class: a process of its own, bounded outside.

    python -m compress.tasks.conversion.preview SECONDS < file > sheet.png

Torch is not loaded. Legend: N images, H height, W width, C channels.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compress.tasks import inspection
from compress.tasks.formats import npz
from compress.values.errors import InvalidData

ROWS, COLUMNS = 12, 8
"""Most classes, and most images of each."""
_SIDES = (32, 96)
"""Pixels of the longer side of an image on the sheet."""
_GAP = 2
_STDIN = Path("/dev/stdin")


def sheet(path: Path, *, caution: npz.Caution | None = None) -> bytes:
    """Return a png of the first training images of the first classes. Raises InvalidData.

    Floats are shown from the least to the largest of these; of other than 3 channels the first.
    """
    with inspection.open_dataset(path, caution=caution) as archive:
        rows_by_class = _chosen(archive.read("y_train"))
        wanted = sorted({row for rows in rows_by_class for row in rows})
        images = _images(archive, wanted)
    low = min(float(image.min()) for image in images.values())
    high = max(float(image.max()) for image in images.values())
    drawn = {row: _drawn(image, low, high) for row, image in images.items()}
    width, height = next(iter(drawn.values())).size
    page = Image.new("RGB", (COLUMNS * (width + _GAP), len(rows_by_class) * (height + _GAP)))
    for line, rows in enumerate(rows_by_class):
        for column, row in enumerate(rows):
            page.paste(drawn[row], (column * (width + _GAP), line * (height + _GAP)))
    written = io.BytesIO()
    page.save(written, "PNG")
    return written.getvalue()


def _chosen(labels_N: NDArray[np.generic]) -> list[list[int]]:
    classes = np.unique(labels_N)[:ROWS]
    return [np.flatnonzero(labels_N == label)[:COLUMNS].tolist() for label in classes]


def _images(archive: npz.Archive, wanted: list[int]) -> dict[int, NDArray[np.generic]]:
    """Read the array until the last image that is wanted."""
    found: dict[int, NDArray[np.generic]] = {}
    begin, waiting = 0, list(reversed(wanted))
    for some_NHWC in archive.rows("x_train"):
        end = begin + len(some_NHWC)
        while waiting and waiting[-1] < end:
            row = waiting.pop()
            found[row] = some_NHWC[row - begin].copy()
        if not waiting:
            break
        begin = end
    return found


def _drawn(image: NDArray[np.generic], low: float, high: float) -> Image.Image:
    if image.ndim == 3 and image.shape[2] != 3:
        image = image[..., 0]
    if image.dtype != np.uint8:
        spread = (image.astype(np.float64) - low) / ((high - low) or 1.0)
        image = (255 * spread).astype(np.uint8)
    picture = Image.fromarray(image.astype(np.uint8)).convert("RGB")
    least, most = _SIDES
    longest = max(picture.size)
    if longest > most:
        return picture.resize(_scaled(picture, most / longest), Image.Resampling.BILINEAR)
    return picture.resize(_scaled(picture, max(1, -(-least // longest))), Image.Resampling.NEAREST)


def _scaled(picture: Image.Image, factor: float) -> tuple[int, int]:
    width, height = picture.size
    return max(1, round(width * factor)), max(1, round(height * factor))


def main() -> None:
    """Write the sheet of the file on stdin, or say on stderr why there is none."""
    caution = npz.Caution(most_ratio=npz.MOST_RATIO, seconds=float(sys.argv[1]))
    try:
        sys.stdout.buffer.write(sheet(_STDIN, caution=caution))
    except InvalidData as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
