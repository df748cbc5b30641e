"""The commands, one a file: its options, and the steps of a run."""
