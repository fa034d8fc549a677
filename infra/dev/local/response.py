"""Takes the answer to events/migrate-cloudformation.json, in the place of CloudFormation.

Prints the answer, which is JSON, and ends.
"""

from http.server import BaseHTTPRequestHandler, HTTPServer

ADDRESS = ("127.0.0.1", 9001)


class Handler(BaseHTTPRequestHandler):
    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        print(body.decode(), flush=True)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    HTTPServer(ADDRESS, Handler).handle_request()
