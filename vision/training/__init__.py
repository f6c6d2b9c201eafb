"""The training loop and what a recipe chooses: optimisers, schedules, augmentation.

It may import base, data and models.
"""
