"""What training leaves on disk: the run folder, its table of scores and its checkpoints."""
