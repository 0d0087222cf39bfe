"""Work in the background: one worker, what ticks, how many threads, and what is shown of errors."""
