"""Where inputs and targets come from, and how they become batches."""
