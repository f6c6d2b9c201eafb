"""What `pipeline doctor` looks for, and how it is put right.

It may import engine, orchestration and vision.
"""
