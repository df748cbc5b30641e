"""What base detectors share."""
