"""Anomaly methods, one file each; its name is the method's.

A file offers ``DESCRIPTION``, ``DRAWN`` (does it learn from defects drawn on good images?) and
``fit(patches, bank, components, seed) -> Evidence``: what an `Evidence` puts into a graph turns patch features
``(n, d, h, w)`` into a map ``(n, 1, h, w)`` of how little a patch looks like a good one; its scale is its own.

A file may offer ``MOST``, deviations of its evidence on good images that it counts as at most.
"""
