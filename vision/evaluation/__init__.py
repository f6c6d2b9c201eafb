"""What is measured on predictions, and the statistics that say what it is worth.

It may import base, data and models.
"""
