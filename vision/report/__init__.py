"""Figures, tables and sentences, and the pages that are made of them.

It may import base, data, models and evaluation.
"""
