"""What is written down: events, actions, instances, payloads. No thread, no clock, no database."""
