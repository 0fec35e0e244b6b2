"""The unit of files and reports beside the package's own, the metre."""

MILLIMETRES = 1000  # in a metre
