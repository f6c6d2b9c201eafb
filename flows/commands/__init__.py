"""What the command line does beyond one call: demo, compare, tables, dvc.yaml's deps.

It may import engine and vision.
"""
