"""Tables on a terminal, or as plain lines elsewhere."""
