"""What each section of params.yaml may hold: keys, types, ranges, and what fits together.

It may import base.
"""
