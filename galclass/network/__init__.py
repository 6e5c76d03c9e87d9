"""The network, what it runs on, and the probabilities that it gives."""
