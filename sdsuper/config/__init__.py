"""What may be written: the options, the files, and what they resolve to."""
