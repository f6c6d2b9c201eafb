"""A script for each stage of dvc.yaml, and what runs them all alike.

It may import vision, and nothing of flows/.
"""
