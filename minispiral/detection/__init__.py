"""Whole photographs: probabilities of crack, scores, and the pictures that show them."""
