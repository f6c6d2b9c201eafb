"""Prefect, spoken to: limits, pools, deployments, and what a run shows there.

It may import engine and vision.
"""
