"""Pictures of an instance as self-contained SVG: no script, no network, no notebook needed."""
