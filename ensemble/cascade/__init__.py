"""Members asked in an order, until the verdict on a video is settled."""
