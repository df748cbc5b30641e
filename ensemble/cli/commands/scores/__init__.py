"""Commands about tables of scores alone."""
