"""Pages of results: one HTML file each, with its pictures in it, which needs no network."""
