"""What the four commands share."""
