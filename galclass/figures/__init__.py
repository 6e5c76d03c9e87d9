"""One function per figure; each returns the matplotlib figure."""
