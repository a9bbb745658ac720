"""Who is alive, and what the dead have left."""
