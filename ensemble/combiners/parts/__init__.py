"""What combiners share: rows, scales, meta-models."""
