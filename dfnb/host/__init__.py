"""Notebooks and modules without a front end: run one to its end, or keep its definitions up as a service."""
