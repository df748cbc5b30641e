"""Opens every video of a data set once: what is in it, and which are the same."""
