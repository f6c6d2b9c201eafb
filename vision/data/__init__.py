"""Images and labels: where they come from, how they are decoded, stored and split.

It may import base.
"""
