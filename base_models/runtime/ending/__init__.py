"""When a process ends: its unfinished files, its workers, and what Ctrl-C does."""
