"""What people, scripts and commands do to a queue: add, look, retry, cancel."""
