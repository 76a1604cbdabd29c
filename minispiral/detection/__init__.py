"""Cracks in photographs: finding them, drawing them and scoring what was found."""
