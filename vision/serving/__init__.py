"""A trained model in use: classifying new files, export to other programs.

It may import base, data, models and evaluation.
"""
