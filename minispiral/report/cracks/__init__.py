"""The page of cracks: photographs with their cracks, widths and lengths, in one file."""
