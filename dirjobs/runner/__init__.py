"""The program behind `dirjobs work`: a command for each job, several at once."""
