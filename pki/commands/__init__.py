"""What the commands do: each function takes the parsed arguments and the world, and returns an
exit code. `pki.cli` imports the module of the command that was called, and no other.
"""
