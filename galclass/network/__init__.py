"""The network, the hardware that it runs on, and its probabilities."""
