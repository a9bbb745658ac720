"""``python -m dirjobs``: the command line."""

from dirjobs.cli import main

if __name__ == "__main__":
    main(prog_name="dirjobs")
