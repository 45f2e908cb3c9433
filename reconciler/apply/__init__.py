"""Carry a plan out: one step after another, in order, under a lock."""
