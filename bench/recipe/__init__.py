"""What the recipe beyond the paper gains, and how many photographs a network needs."""
