"""Makes more models in a MongoDB datastore: what was pushed of kind/0000, under other names, as if each had been pushed.

multiply.py PORT DATABASE MODELS
"""

import sys

from pymongo import MongoClient

port, database, models = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
TEMPLATE = "kind/0000/"


def renamed(value, name):
    if isinstance(value, str):
        return value.replace(TEMPLATE, name)
    if isinstance(value, bytes):
        return value.replace(TEMPLATE.encode(), name.encode())
    return value


db = MongoClient("127.0.0.1", port)[database]
for collection in db.list_collection_names():
    # Files and shards are named after their model; contents are shared by all.
    template = [found for found in db[collection].find() if TEMPLATE in str(found["_id"])]
    made = []
    for model in range(1, models):
        name = f"kind/{model:04}/"
        made += [{field: renamed(value, name) for field, value in found.items()} for found in template]
        if made and (len(made) >= 5000 or model == models - 1):
            db[collection].insert_many(made, ordered=False)
            made = []
