"""Where output goes: file descriptors and sink settings in, records and counters out."""
