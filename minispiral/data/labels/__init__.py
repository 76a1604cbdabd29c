"""Labels that other programs wrote, read and drawn as masks; `convert.draw_masks` is the job."""
