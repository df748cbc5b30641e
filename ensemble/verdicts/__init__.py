"""What a fitted ensemble says of each video, and why it says no more."""
