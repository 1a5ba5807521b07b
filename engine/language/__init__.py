"""What classes are and how each kind of sensor sees them, in words and as vectors."""
