"""Code for another process, in which file locks fail as on some network file systems."""

NO_LOCKS = """
import errno, fcntl, os
def fails(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
fcntl.flock = fcntl.lockf = fails
"""
