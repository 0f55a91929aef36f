"""Handwritten digits that ship with scikit-learn: real images, offline, small."""

from __future__ import annotations

import torch
from torch.nn import functional

from edgebench.data.dataset import DATASETS, Source, Split

TEST_SHARE = 5  # every fifth image


@DATASETS.register
def digits() -> Source:
    """Read 1,797 grey 8x8 digits, upscaled to 1x32x32; every fifth is kept for the test.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998, the
    test part, as ``sklearn.datasets.load_digits`` ships it.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = torch.from_numpy(bunch.images).float().unsqueeze(1) * (255 / 16)  # 16 grey levels
    large = functional.interpolate(grey, size=(32, 32), mode="bilinear", align_corners=False)
    images = large.round().clamp(0, 255).to(torch.uint8)
    labels = torch.from_numpy(bunch.target).long()
    in_test = torch.arange(len(labels)) % TEST_SHARE == 0
    return Source(
        Split(images[~in_test], labels[~in_test]),
        Split(images[in_test], labels[in_test]),
        tuple(str(name) for name in bunch.target_names),
        "crop",
    )
