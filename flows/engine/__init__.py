"""DVC, driven: the plan, one stage run, a tree of one's own, how long things take.

It may import vision, and no other room of flows/.
"""
