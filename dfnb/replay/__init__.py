"""What a history leads to. Pure: events in, decisions out; no thread, clock, random number or database."""
