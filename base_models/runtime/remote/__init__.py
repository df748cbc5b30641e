"""Files behind an address: what the server says of them, and parts of their bytes."""
