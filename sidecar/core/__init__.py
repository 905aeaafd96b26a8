"""The rules, without the world: no loop, socket, file, clock or chance in here.

Bytes and values come in as arguments, bytes and values go out as results. Time is an argument
too. That is what lets one test say every chunking of every input gives the same answer.
"""
