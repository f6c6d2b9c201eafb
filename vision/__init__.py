"""What the stages share: data, models, training, evaluation, serving, report.

It knows nothing of DVC or Prefect, and imports nothing of stages/ or flows/.
"""
