"""Durable HTTP calls: what is sent, what an answer means, when to ask again."""
