"""A process that reads what is foreign, and may die of it: kept, bounded, replaced."""
