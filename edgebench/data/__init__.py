"""Data sets as uint8 tensors in memory: a fixed train/validation split and a sealed test split.

A data set is a function that reads a `Source`, images for training and for testing; ``load``
splits off the validation part by seed, so that every candidate of a sweep sees the same images.
To add one, register one function in a file of this folder.
"""

from edgebench.data.dataset import DATASETS, Dataset, Reader, Source, Split
from edgebench.data.loading import DataOptions, check_name, load, resize_rule
from edgebench.data.normalization import input_cost, input_layer

__all__ = [
    "DATASETS",
    "DataOptions",
    "Dataset",
    "Reader",
    "Source",
    "Split",
    "check_name",
    "input_cost",
    "input_layer",
    "load",
    "resize_rule",
]
