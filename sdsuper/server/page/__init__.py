"""The web page: what it shows, what its buttons do, and how it stays up to date."""
