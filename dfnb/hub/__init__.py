"""The task hub: one DuckDB file and the working set in memory, with a client side and a worker side."""
