"""Where the tasks of a job are carried out: in this process, in several of this machine, or in a Ray cluster.

All keep one promise: the same bits, in the order of the tasks, whoever carried them out and whatever died meanwhile.
"""
