"""Detectors that can be trained, one file each; the file's name is the registered name, its ``SPEC`` says what it is.

See ``train/detection.py`` for what a detector must offer.
"""
