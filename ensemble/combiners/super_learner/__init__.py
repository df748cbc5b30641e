"""How `AutoCombiner` tries candidates over folds and mixes them."""
