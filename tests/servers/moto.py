"""moto's S3, one request at a time: `moto.py PORT`.

`moto_server` answers in threads and looks at a condition before it writes, so two writers can both win a race.
"""

import sys

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
