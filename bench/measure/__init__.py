"""How well cracks are measured: lengths and widths against a truth that is known."""
