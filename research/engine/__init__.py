"""Where the tasks of a job are carried out: in this process, or in several of this machine.

All keep one promise: the same bits, in the order of the tasks, whoever carried them out and whatever died meanwhile.
"""
