"""What all JSON documents share: schemas, checks of their shape, and writing them."""
