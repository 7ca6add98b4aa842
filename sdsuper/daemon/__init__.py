"""Making it happen: the only owner of a Manager, and all that touches the system."""
