"""What pytest leaves alone here."""

collect_ignore = ["darts_side.py", "pybroker_side.py"]  # scripts for other virtualenvs
