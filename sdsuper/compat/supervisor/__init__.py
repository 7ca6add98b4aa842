"""The names that plugins import from Supervisor. Narrow: what they were seen to use."""
