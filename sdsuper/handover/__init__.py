"""What one daemon leaves to the next: values as plain data, a log of records, a box of descriptors.

Both ways of handing on use it: re-exec (the same process, the same children) and adoption (the
daemon was killed; systemd kept the descriptors). Nothing here knows what is handed on.
"""
