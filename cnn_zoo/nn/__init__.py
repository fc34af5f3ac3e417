"""What nets are made of: blocks, layers, optimizers, precision; and looking at nets."""
