"""A stage on a worker in another clone: sent by hash, run there, taken in by hash.

It may import orchestration, engine and vision.
"""
