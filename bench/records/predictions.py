"""What a trained network said of every test sample, beside its record: predictions.parquet.

N test samples in the order of the dataset. The weights are those of the best validation epoch, the output is
averaged over all time steps: what `test_accuracy` is about.
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
"""So many classes have numbers of one byte."""

Classes = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, eq=False)
class Predictions:
    """label, predicted: [N] numbers of classes from 0; uint8, or uint16 where there are more than 256."""

    label: Classes
    predicted: Classes

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """[N] whether each sample was classified correctly."""
        return np.equal(self.label, self.predicted)

    @property
    def accuracy(self) -> float:
        """Percent right."""
        return 100 * int(self.right.sum()) / len(self.label)


def of_numbers(label: NDArray[Any], predicted: NDArray[Any], classes: int) -> Predictions:
    """Predictions from whole numbers of any type, each in 0..classes-1."""
    kind: Any = np.uint8 if classes <= BYTE_CLASSES else np.uint16
    return Predictions(np.asarray(label).astype(kind), np.asarray(predicted).astype(kind))


def to_bytes(predictions: Predictions) -> bytes:
    """The file; it has no more than the two columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = (predictions.label, predictions.predicted)
    buffer = BytesIO()
    # Classes repeat, so that a dictionary takes as many bits as they need.
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
    """What such a file holds; raises ValueError, or an error of the reader's own, where it is none."""
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
