"""The Training tab: runs listed, followed, compared, started, stopped."""
