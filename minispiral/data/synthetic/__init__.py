"""What synthetic photographs are made of: surfaces, what lies on them, cracks, light, cameras."""
