"""Shows what is in a data set: tables, pictures, leaks, and all of it as a page."""
