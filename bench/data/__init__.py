"""Data: how a dataset is declared, loaded, checked, cached on disk, augmented and cut into batches.

A dataset plugin (datasets/, or `--plugin`) imports what this package exports, and for events or pictures
`bench.data.events`, `bench.data.frames`, `bench.data.pictures`, `bench.data.augment`.
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
