"""What the operating system is asked: disks, modes of files, signs of life."""
