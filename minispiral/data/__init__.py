"""Photographs, masks, datasets, and the patches that training draws from them."""
