"""How a process lives: pure, facts in and actions out."""
