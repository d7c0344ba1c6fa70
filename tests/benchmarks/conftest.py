"""What pytest leaves alone here."""

collect_ignore = ["darts_side.py"]  # a script for another virtualenv: it imports Darts
