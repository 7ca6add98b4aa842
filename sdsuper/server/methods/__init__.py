"""What clients may call: one function per method."""
