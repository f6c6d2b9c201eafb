"""What every room needs: errors, files, params, progress, downloads, processes.

It imports no other room.
"""
