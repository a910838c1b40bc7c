"""A trained network's prediction for every test sample, stored with its record: predictions.parquet.

N test samples in the order of the dataset. Predictions use the weights of the best validation epoch and the
output averaged over all time steps, as `test_accuracy` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = "predictions.parquet"
COLUMNS = ("label", "predicted")
BYTE_CLASSES = 256
"""Up to this number, class numbers fit in one byte."""

Classes = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, eq=False)
class Predictions:
    """label, predicted: [N] class numbers from 0; uint8, or uint16 with more than 256 classes."""

    label: Classes
    predicted: Classes

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """[N] whether each sample was classified correctly."""
        return np.equal(self.label, self.predicted)

    @property
    def accuracy(self) -> float:
        """Accuracy in percent."""
        return 100 * int(self.right.sum()) / len(self.label)


def of_numbers(label: NDArray[Any], predicted: NDArray[Any], classes: int) -> Predictions:
    """Predictions from whole numbers of any type, each in 0..classes-1."""
    kind: Any = np.uint8 if classes <= BYTE_CLASSES else np.uint16
    return Predictions(np.asarray(label).astype(kind), np.asarray(predicted).astype(kind))


def to_bytes(predictions: Predictions) -> bytes:
    """The file's content; it has only the two columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = (predictions.label, predictions.predicted)
    buffer = BytesIO()
    # Classes repeat, so dictionary encoding needs only as many bits as there are classes.
    pq.write_table(
        pa.table(dict(zip(COLUMNS, columns, strict=True))),
        buffer,
        compression="zstd",
        use_dictionary=True,
        write_statistics=False,
        store_schema=False,
    )
    return buffer.getvalue()


def of_bytes(content: bytes) -> Predictions:
    """The content of such a file. Raises ValueError, or an error of the file reader, if it is invalid."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(content)) as file:
        table = file.read(columns=list(COLUMNS), use_threads=False)
    label, predicted = (table[name].to_numpy() for name in COLUMNS)
    if label.dtype.kind != "u" or predicted.dtype != label.dtype:
        raise ValueError(f"label and predicted are {label.dtype} and {predicted.dtype}, not unsigned numbers")
    if not len(label):
        raise ValueError("it has no rows")
    return Predictions(label, predicted)
