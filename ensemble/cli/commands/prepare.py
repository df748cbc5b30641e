"""``prepare``: frames or face crops of a data set, to disk or into the store."""
