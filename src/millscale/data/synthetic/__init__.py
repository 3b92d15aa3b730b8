"""Synthetic hot-rolled strip: six defect kinds with masks and boxes, overlapping crops, metal textures."""

from millscale.data.synthetic.dataset import iter_cuts, make_dataset
from millscale.data.synthetic.samples import draw_samples
from millscale.data.synthetic.sheet import CLASSES, GOOD, KINDS, Sheet, render_image, render_sheet
from millscale.data.synthetic.texture import render_texture
from millscale.data.synthetic.truth import Crop, Truth, read_truth, true_overlaps

__all__ = [
    "CLASSES",
    "GOOD",
    "KINDS",
    "Crop",
    "Sheet",
    "Truth",
    "draw_samples",
    "iter_cuts",
    "make_dataset",
    "read_truth",
    "render_image",
    "render_sheet",
    "render_texture",
    "true_overlaps",
]
