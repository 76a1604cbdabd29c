"""Training: patches in, checkpoints out."""
