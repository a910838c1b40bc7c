"""Data: how a dataset is declared, loaded, checked, cached on disk, augmented and cut into batches.

Dataset plugins (datasets/, or `--plugin`) import the names exported here. For events or images they also use
`bench.data.events`, `bench.data.frames`, `bench.data.pictures` and `bench.data.augment`.
"""

from bench.data.loading import (
    Dataset,
    Request,
    Setting,
    Split,
    Splits,
    dataset,
    stratified,
    with_ids,
)

__all__ = ["Dataset", "Request", "Setting", "Split", "Splits", "dataset", "stratified", "with_ids"]
