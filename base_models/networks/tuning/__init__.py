"""What of a trained network learns, and which of its features the head looks at."""
