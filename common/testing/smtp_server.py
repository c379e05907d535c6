#!/usr/bin/python3
"""A real SMTP server for tests (aiosmtpd), told by files what to do.

Usage: smtp_server.py FOLDER [--certificate FILE --key FILE --tls starttls|implicit]
                      [--user NAME --password TEXT]

FOLDER/port        is written once it listens (loopback, a free port).
FOLDER/mail/N.eml  is a message as received, FOLDER/mail/N.json its envelope; N counts from 1.
FOLDER/script      one line for each of the next messages; without a line a message is accepted.
    accept           250, and the message is kept
    reject CODE TEXT that reply, and nothing is kept
    hang             no reply, nothing kept, until the client goes away
    keep-hang        the message is kept, no reply
    keep-drop        the message is kept, the connection dropped without a reply
    keep-kill PID    the message is kept, process PID is killed with SIGKILL, no reply
FOLDER/rcpt        addresses, one a line, that are refused with 550
"""

import argparse
import asyncio
import json
import os
import pathlib
import signal
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

NEVER = 3600


class Handler:
    def __init__(self, folder):
        self.folder = folder
        self.count = len(list((folder / "mail").glob("*.json")))

    def next_line(self):
        script = self.folder / "script"
        lines = script.read_text().splitlines() if script.exists() else []
        if not lines:
            return ["accept"]
        temporary = self.folder / "script.tmp"
        temporary.write_text("".join(line + "\n" for line in lines[1:]))
        os.replace(temporary, script)
        return lines[0].split(None, 2)

    def keep(self, server, session, envelope):
        self.count += 1
        (self.folder / "mail" / f"{self.count}.eml").write_bytes(envelope.content)
        about = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": server.transport.get_extra_info("ssl_object") is not None,
                 "authenticated": bool(session.authenticated)}
        temporary = self.folder / "mail" / f"{self.count}.tmp"
        temporary.write_text(json.dumps(about))
        os.replace(temporary, self.folder / "mail" / f"{self.count}.json")

    async def handle_RCPT(self, server, session, envelope, address, options):
        refused = self.folder / "rcpt"
        if refused.exists() and address in refused.read_text().split():
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        words = self.next_line()
        action = words[0]
        if action == "reject":
            return " ".join(words[1:])
        if action == "hang":
            await asyncio.sleep(NEVER)
        self.keep(server, session, envelope)
        if action == "keep-hang":
            await asyncio.sleep(NEVER)
        if action == "keep-kill":
            os.kill(int(words[1]), signal.SIGKILL)
            await asyncio.sleep(NEVER)
        if action == "keep-drop":
            server.transport.abort()
            await asyncio.sleep(NEVER)
        return "250 2.0.0 kept"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--tls", choices=["starttls", "implicit"])
    parser.add_argument("--user")
    parser.add_argument("--password")
    options = parser.parse_args()
    (options.folder / "mail").mkdir(parents=True, exist_ok=True)

    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
    starttls = options.tls == "starttls"

    def authenticate(server, session, envelope, mechanism, data):
        good = data.login == options.user.encode() and data.password == options.password.encode()
        return AuthResult(success=good, handled=False)

    handler = Handler(options.folder)

    def session():
        return SMTP(handler, hostname="smtp.test", loop=loop,
                    tls_context=context if starttls else None, require_starttls=starttls,
                    authenticator=authenticate if options.user else None,
                    auth_required=bool(options.user), auth_require_tls=starttls)

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    listener = loop.run_until_complete(loop.create_server(
        session, "127.0.0.1", 0, ssl=None if starttls else context))
    temporary = options.folder / "port.tmp"
    temporary.write_text(str(listener.sockets[0].getsockname()[1]))
    os.replace(temporary, options.folder / "port")
    loop.run_forever()


main()
