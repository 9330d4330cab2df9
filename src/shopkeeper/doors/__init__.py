"""Doors are thin readers of the menu: the command line first; HTTP, the console and others later.

No query of their own.
"""
