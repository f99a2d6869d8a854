# A subgraph in another language and TLS stack: Python's http.server and ssl, which requires client certificates.
# Answers `{ caller }` with the SPIFFE ID that it was shown; says on its first line where it listens.
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

identity = sys.argv[1]


class Subgraph(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        names = self.connection.getpeercert()["subjectAltName"]
        caller = next(value for kind, value in names if kind == "URI")
        text = json.dumps({"data": {"caller": caller}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{identity}/chain.pem", f"{identity}/key.pem")
context.load_verify_locations(f"{identity}/bundle.pem")
context.verify_mode = ssl.CERT_REQUIRED
server = ThreadingHTTPServer(("127.0.0.1", 0), Subgraph)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(f"ready {server.server_port}", flush=True)
server.serve_forever()
