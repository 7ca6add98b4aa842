"""How event listeners are told of events: what they say, and what waits for them."""
