"""sdsuper: a process supervisor for Supervisor's ini files, at home under systemd."""

__version__ = "0.1.0"

SUPERVISOR_VERSION = "4.3.0"
"""What `-v`, `version` and getSupervisorVersion report: clients compare these numbers."""
