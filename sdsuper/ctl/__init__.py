"""The client: what operators type, and what they see."""
