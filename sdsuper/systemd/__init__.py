"""What systemd and the daemon tell each other: one protocol each."""
