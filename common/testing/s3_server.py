#!/usr/bin/python3
"""An S3 service of one bucket for tests: usage s3_server.py FOLDER [--tls].

Objects are files below FOLDER/objects. Every request's signature is computed anew by botocore from
what arrived (key "tester", secret in FOLDER/secret) and compared. Once it listens, the port stands
in FOLDER/port. FOLDER/fault, where it is there, holds what the next request is answered with: a
status and an error code. With --tls it takes FOLDER/certificate.pem and key.pem.
"""
import hashlib
import http.server
import os
import pathlib
import ssl
import sys
import threading
import urllib.parse

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

FOLDER = pathlib.Path(sys.argv[1])
BUCKET = "evidence"
REGION = "eu-north-1"


class Refused(Exception):
    def __init__(self, status, code):
        super().__init__(code)
        self.status = status
        self.code = code


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def check_signature(self, body):
        authorization = self.headers.get("Authorization", "")
        if not authorization.startswith("AWS4-HMAC-SHA256 "):
            raise Refused(403, "AccessDenied")
        parts = dict(p.strip().split("=", 1) for p in authorization.split(" ", 1)[1].split(","))
        key, _, region, service, _ = parts["Credential"].split("/")
        if key != "tester":
            raise Refused(403, "InvalidAccessKeyId")
        if (region, service) != (REGION, "s3"):
            raise Refused(400, "AuthorizationHeaderMalformed")
        signed = {name: self.headers[name] for name in parts["SignedHeaders"].split(";")}
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        request = AWSRequest(method=self.command, data=body, headers=signed,
                             url=f"{scheme}://{self.headers['Host']}{self.path}")
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        auth = S3SigV4Auth(Credentials("tester", (FOLDER / "secret").read_text()), "s3", REGION)
        wanted = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)),
                                request)
        if wanted != parts["Signature"]:
            raise Refused(403, "SignatureDoesNotMatch")
        if self.headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
            raise Refused(400, "XAmzContentSHA256Mismatch")

    def object_file(self):
        bucket, _, key = urllib.parse.unquote(self.path).lstrip("/").partition("/")
        if bucket != BUCKET:
            raise Refused(404, "NoSuchBucket")
        file = (FOLDER / "objects" / key).resolve()
        if FOLDER.resolve() not in file.parents:
            raise Refused(400, "InvalidURI")
        return file

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            fault = FOLDER / "fault"
            if fault.exists():
                status, code = fault.read_text().split()
                fault.unlink()
                raise Refused(int(status), code)
            self.check_signature(body)
            file = self.object_file()
            if self.command == "PUT":
                file.parent.mkdir(parents=True, exist_ok=True)
                draft = file.with_name(f"{file.name}.{threading.get_ident()}")
                draft.write_bytes(body)
                os.rename(draft, file)
                self.answer(200, b"")
            elif self.command == "DELETE":
                file.unlink(missing_ok=True)
                self.answer(204, b"")
            elif not file.exists():
                raise Refused(404, "NoSuchKey")
            else:
                self.answer(200, file.read_bytes())
        except Refused as refused:
            text = f"<?xml version=\"1.0\"?><Error><Code>{refused.code}</Code></Error>"
            self.answer(refused.status, text.encode())

    do_GET = do_HEAD = do_PUT = do_DELETE = handle_request

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if "--tls" in sys.argv:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "certificate.pem", FOLDER / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
draft = FOLDER / "port.new"
draft.write_text(str(server.server_port))
os.rename(draft, FOLDER / "port")
server.serve_forever()
