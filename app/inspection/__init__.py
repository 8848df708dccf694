"""Reads the files of strangers in child processes, which have limits and no secrets.

A file may make a decoder fill the memory, never end, or crash; one day it may even make a decoder run its code. So
nothing of it is decoded in the process that has the database and the store.
"""
