"""Takes the files out of a tar file with Python's tarfile, and prints their names.

usage: untar.py FILE FOLDER
"""

import sys
import tarfile

with tarfile.open(sys.argv[1], mode="r:") as file:
    file.extractall(sys.argv[2], filter="data")
    print("\n".join(file.getnames()))
