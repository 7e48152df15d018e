"""Reading and checking of data: the package's own files, and rows from callers."""
