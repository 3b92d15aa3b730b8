"""Clustering methods, one file each; its name is the method's.

A file offers ``DESCRIPTION``, ``COUNTED`` (does it have to be told how many?) and
``fit(embedding, clusters, seed) -> (n,)`` int64 numbers from 0 on, -1 for an image that belongs to none. Of the number
asked for, fewer are found where fewer images differ; a method that finds the number itself takes no notice of it.
"""
