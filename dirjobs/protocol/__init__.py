"""Who may run a job: claiming it, ending it, giving it back."""
