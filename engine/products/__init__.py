"""What comes after a class map: polygons, statistics and changes."""
