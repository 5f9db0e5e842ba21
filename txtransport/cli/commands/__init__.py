"""What ``txtransport`` can be told to do, one file a command.

Each has ``add(commands)``, which adds its parser; whatever it needs to do its
work it imports when it does it, so that ``--help`` is there at once.
"""
