"""Photographs and masks, real and synthetic, and the patches that training draws from them."""
