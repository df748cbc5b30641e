"""The forge: a small labelled set of real clips and face swaps, made on the spot."""
