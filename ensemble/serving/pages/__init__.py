"""Pages: what the server shows to people, as HTML that works without a script."""
