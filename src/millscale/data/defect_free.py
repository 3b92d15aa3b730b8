"""Which images show no defect: told by their label, else by their mask, else by their boxes."""

import numpy as np

from millscale.data.classes import is_good
from millscale.data.manifest import ImageRecord
from millscale.data.masks import foreground
from millscale.imaging.decode import read_mask


def is_defect_free(record: ImageRecord) -> bool | None:
    """Is it known to show no defect? None where neither label nor mask nor boxes say anything.

    Args:
        record: its mask, where that must decide, is decoded.

    Raises:
        DataError: the mask that must decide cannot be decoded.
    """
    if record.label is not None:
        return is_good(record.label)
    if record.mask is not None:
        return not np.any(foreground(read_mask(record.mask)))
    return None if record.boxes is None else not len(record.boxes)
