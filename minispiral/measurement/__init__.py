"""Cracks measured: from a photograph and a probability map to lengths and widths with intervals."""
