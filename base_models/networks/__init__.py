"""Networks, their weights, and checkpoints read without running anything in them."""
