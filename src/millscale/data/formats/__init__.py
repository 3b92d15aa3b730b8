"""Layouts of data sets, one file each; the file's name is the layout's name.

A format module offers ``DESCRIPTION: str``, ``PRIORITY: int`` (the higher is asked first),
``matches(folder) -> bool`` (looks at names, opens no image) and ``read(folder) -> Manifest`` (opens headers,
decodes no pixel but a mask's), both of what `data.scan` lists. One that can also be written offers
``write(manifest, folder)``.
"""
