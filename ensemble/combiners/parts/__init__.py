"""What combiners share: rows, scales, checks."""
