"""Several processes that work on one thing, one for each device: what they exchange, and how they are started."""
