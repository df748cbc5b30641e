"""Reports, plots and pages, each one file that needs nothing beside it."""
