"""Makes a user of a MongoDB server who may do everything and logs in with SCRAM-SHA-256.

make_user.py PORT USER PASSWORD
"""

import sys

from pymongo import MongoClient

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
MongoClient("127.0.0.1", port).admin.command(
    "createUser", user, pwd=password, roles=["root"], mechanisms=["SCRAM-SHA-256"]
)
