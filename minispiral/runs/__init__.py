"""What training leaves on the disk: the folder of a run, its table of scores, its checkpoints."""
