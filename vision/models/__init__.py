"""Networks and their weights: how they are built, loaded, saved and applied to images.

It may import base and data.
"""
