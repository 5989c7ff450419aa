"""The client side for people: start, ask, signal, wait; sync, async and as a handle on one instance."""
