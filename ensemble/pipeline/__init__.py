"""From a table of scores to verdicts: one object to fit, keep and use alone."""
