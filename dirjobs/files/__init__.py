"""Files that come of jobs: kept on this machine, and brought to the share and back."""
