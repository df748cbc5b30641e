"""What learns to combine the scores of a `Stacking`, and the layers before it."""
