"""The kinds of data sets: what lies on the disk -> records, one kind a file."""
