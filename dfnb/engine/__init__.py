"""Runs batches of work: turns, timers, activities. Threads, event loops and user code live here and nowhere below."""
