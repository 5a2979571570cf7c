"""Access to the operating system: disks, file modes, processes, signs of life."""
