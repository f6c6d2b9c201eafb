"""What runs the graph of dvc.yaml unattended: the Prefect flows and the `pipeline` command.

The modules here may import all rooms of flows/ below, and vision.
"""
